"""Interrupts at the places where CPython loses them, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ragops.adapters.interrupts import is_caused_by_interrupt

if TYPE_CHECKING:
    from pathlib import Path

_START = """
import os, signal, sys, time
from ragops.adapters import interrupts
number = signal.Signals[sys.argv[1]]
if signal.getsignal(number) is signal.SIG_IGN:  # as nohup leaves it to the tests that it starts
    signal.signal(number, signal.SIG_DFL)
interrupts.install()
"""
# The module is interrupted where an enum's members are made, and must be whole all the same.
_MODULE = """
import enum, os, signal, sys
class Interrupts:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), signal.Signals[sys.argv[1]])
        sum(range(1000))
class Colour(enum.Enum):
    RED = 1
class Made:
    member = Interrupts()
last_line = True
"""
_IMPORT = """
try:
    import interrupted_module
    time.sleep(30)
except KeyboardInterrupt:
    print(sys.modules["interrupted_module"].last_line)
"""
_WEAK_REFERENCE = """
import weakref
class Thing: pass
thing = Thing()
reference = weakref.ref(thing, lambda _: (os.kill(os.getpid(), number), sum(range(1000))))
try:
    del thing
    time.sleep(30)
except KeyboardInterrupt:
    print(True)
"""
_FINALIZER = """
class Thing:
    def __del__(self):
        os.kill(os.getpid(), number)
        sum(range(1000))
try:
    Thing()
    time.sleep(30)
except KeyboardInterrupt:
    print(True)
"""
_ENDLESS_IMPORT = "import time\ntime.sleep(30)\n"


def run(script: str, folder: Path, signal_name: str = "SIGTERM") -> subprocess.CompletedProcess[str]:
    """Run a script with `folder` to import from."""
    command = [sys.executable, "-c", f"{_START}sys.path.insert(0, {str(folder)!r})\n{script}", signal_name]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize(
    "script", [_IMPORT, _WEAK_REFERENCE, _FINALIZER], ids=["import", "weak reference", "finalizer"]
)
def test_an_interrupt_is_raised_after_the_place_that_loses_it(tmp_path: Path, script: str, signal_name: str) -> None:
    (tmp_path / "interrupted_module.py").write_text(_MODULE)
    done = run(script, tmp_path, signal_name)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


def test_an_import_without_an_end_is_interrupted(tmp_path: Path) -> None:
    (tmp_path / "interrupted_module.py").write_text(_ENDLESS_IMPORT)
    script = """
interrupts._LONGEST_IMPORT = 0.2
signal.signal(signal.SIGUSR1, lambda *_: None)
if os.fork() == 0:
    time.sleep(0.5)
    os.kill(os.getppid(), number)
    os._exit(0)
try:
    import interrupted_module
except KeyboardInterrupt:
    print(True)
"""
    done = run(script, tmp_path)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


def test_a_second_interrupt_is_raised_once(tmp_path: Path) -> None:
    (tmp_path / "interrupted_module.py").write_text(_MODULE)
    script = """
times = 0
try:
    try:
        import interrupted_module
        os.kill(os.getpid(), number)
        time.sleep(30)
    except KeyboardInterrupt:
        times += 1
        time.sleep(0.3)
except KeyboardInterrupt:
    times += 1
print(times)
"""
    assert run(script, tmp_path).stdout == "1\n"


def test_an_ignored_hangup_stays_ignored(tmp_path: Path) -> None:
    script = "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\ninterrupts.install()\n"
    done = run(script + "os.kill(os.getpid(), signal.SIGHUP)\ntime.sleep(0.1)\nprint(True)", tmp_path)
    assert done.stdout == "True\n", done.stderr


def test_other_exceptions_of_finalizers_are_printed(tmp_path: Path) -> None:
    script = "class Thing:\n    def __del__(self): raise ValueError('seen')\nThing()\nprint(True)"
    done = run(script, tmp_path)
    assert done.stdout == "True\n"
    assert "ValueError: seen" in done.stderr


def test_an_exception_made_of_an_interrupt_counts_as_one() -> None:
    class Member:
        def __set_name__(self, owner: type, name: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises((RuntimeError, KeyboardInterrupt)) as caught:
        type("Owner", (), {"member": Member()})
    assert is_caused_by_interrupt(caught.value)
    assert not is_caused_by_interrupt(RuntimeError("of something else"))
