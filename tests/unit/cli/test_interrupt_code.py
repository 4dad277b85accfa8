"""An interrupt that was handled ends with 130, wherever it came."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import ragops.cli.main as main

def call(arguments):
    exec("raise KeyboardInterrupt")

main._call = call
main.run([])  # what is imported on the way evaluates texts, too, and would hide it
main.main()
"""


def test_an_interrupt_inside_exec_ends_with_130_and_not_by_the_signal(tmp_path: Path) -> None:
    """As a module, which is how `python -m ragops` is run."""
    (tmp_path / "interrupted.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "interrupted"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (130, "error: interrupted")


LATE = """
import atexit, os, signal, sys
import ragops.cli.main as main

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    sum(range(1000))

real = main.run
main._call = lambda arguments: 0

def run(arguments):
    code = real(arguments)
    if sys.argv[1] == "returning":
        interrupt()
    return code

main.run = run
if sys.argv[1] == "exiting":
    atexit.register(interrupt)
main.main()
"""


@pytest.mark.parametrize(("when", "code"), [("returning", 130), ("exiting", 0)])
def test_an_interrupt_after_the_command_has_ended_has_an_exit_code_of_ours(
    tmp_path: Path, when: str, code: int
) -> None:
    (tmp_path / "late.py").write_text(LATE)
    command = [sys.executable, "-m", "late", when]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (code, "")
