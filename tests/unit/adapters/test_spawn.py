"""Children end with the process that started them, and live as long as it whichever thread started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from ragops.adapters.spawn import spawn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

linux = pytest.mark.skipif(sys.platform != "linux", reason="missing: the death signal of Linux")


@linux
def test_a_child_lives_on_after_the_thread_that_started_it() -> None:
    """The death signal goes by the thread that forked."""
    started: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: started.append(spawn(["sleep", "60"], os.environ)))
    thread.start()
    thread.join(20)
    (child,) = started
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.5)
    finally:
        child.kill()
        child.wait(20)


STARTER = """
    import os, signal, sys
    from ragops.adapters.spawn import spawn
    child = spawn(["sleep", "60"], os.environ)
    print(child.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@linux
def test_a_child_is_killed_with_its_parent(wait_until: Callable[..., None]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(STARTER)], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


@linux
def test_a_parent_that_died_before_the_signal_was_set_is_noticed() -> None:
    wrapper = spawn.__globals__["_WRAPPER"]
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(wrapper), "1", "/bin/echo", "started"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"has ended" in done.stderr


def test_no_code_runs_between_fork_and_exec(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process with threads it may deadlock."""
    seen: list[dict[str, object]] = []
    real = subprocess.Popen

    def popen(*arguments: object, **options: object) -> object:
        seen.append(options)
        return real(*arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", popen)
    assert spawn(["true"], os.environ).wait(20) == 0
    assert "preexec_fn" not in seen[0]
    assert seen[0]["process_group"] == 0


def test_a_child_has_exactly_the_variables_that_it_was_given(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        child = spawn(["/usr/bin/env"], {"ONE": "a=b\nc", "LANG": "C"}, stdout=out)
        assert child.wait(20) == 0
    assert (tmp_path / "out").read_text() == "ONE=a=b\nc\nLANG=C\n"
    assert os.getpgid(0) != child.pid


def test_a_program_that_is_missing_or_no_program(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError):
        spawn(["/nonexistent/tool"], os.environ)
    with pytest.raises(FileNotFoundError):
        spawn(["no-such-tool"], os.environ)
    with pytest.raises(PermissionError):
        spawn([str(tmp_path / "file")], os.environ)
