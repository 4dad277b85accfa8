"""What all tests share: scratch folders, the command line in a subprocess, a guard against what is left running."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from ragops import hints
from tests.command_line import KEPT, Cli
from tests.ports import free_port
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A shell that starts the tests in the background has them ignore Ctrl-C, and every child would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Hundreds of processes import the package, and each worker all tests: without stored bytecode each compiles all again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

pytest_plugins = ["tests.tiers"]

_LEFT_RUNNING: list[str] = []


# --- Pulumi's mocks ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def own_loop() -> Iterator[None]:
    """Pulumi's mocks take the event loop of the thread, and tests before may have put theirs away."""
    own = asyncio.new_event_loop()
    asyncio.set_event_loop(own)
    try:
        yield
    finally:
        own.close()
        asyncio.set_event_loop(None)


@pytest.fixture(scope="module")
def pulumi_loop() -> Iterator[None]:
    """A loop for the mocks of one module's tests."""
    with own_loop():
        yield


# --- scratch folders, and what runs in them -----------------------------------------------------------------------


def processes_of(folder: Path) -> list[psutil.Process]:
    """Every living process that was started for `folder`, or stands in it."""
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _belongs(process, folder)]


def _belongs(process: psutil.Process, folder: Path) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        words = [*process.cmdline(), process.cwd()]
    except (psutil.Error, OSError):
        return False
    return any(str(folder) in word for word in words)


@contextlib.contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A folder that unprivileged users may pass; what still runs for it at the end fails the whole run."""
    folder = Path(tempfile.mkdtemp(prefix="ragops-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for process in processes_of(folder):
            with contextlib.suppress(psutil.Error):
                _LEFT_RUNNING.append(f"{name}: pid {process.pid} {' '.join(process.cmdline())[:200]}")
                process.kill()
        _remove(folder)


def _remove(folder: Path) -> None:
    """Killed engines may write a moment longer."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


@pytest.fixture
def workspace(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A scratch folder (0755) under the system's temporary folder."""
    with scratch(request.node.nodeid) as folder:
        yield folder


@pytest.fixture(scope="module")
def module_workspace(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The same for all tests of a module."""
    with scratch(request.node.nodeid) as folder:
        yield folder


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A test that leaves a process behind fails the whole run, whatever the test itself thought."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_running"] = _LEFT_RUNNING
    elif _LEFT_RUNNING:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker of pytest-xdist found: its exit status counts for nothing."""
    _LEFT_RUNNING.extend(getattr(node, "workeroutput", {}).get("left_running", ()))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name what was left running."""
    if _LEFT_RUNNING:
        terminalreporter.section("left running", red=True)
        for line in _LEFT_RUNNING:
            terminalreporter.line(line)


# --- the command line ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def ragops() -> Iterator[Cli]:
    """A function that runs `ragops ARGUMENTS` in `cwd`."""
    cli = Cli()
    yield cli
    cli.close()


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("RAGOPS_", "PULUMI_")) and name not in KEPT:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_options_of_another_test() -> Iterator[None]:
    """A command line that ran in this process leaves its --env and --config for the hints."""
    yield
    hints.set_options(None, None)


# --- ports ---------------------------------------------------------------------------------------------------------


@pytest.fixture(name="free_port", scope="session")
def _free_port() -> Callable[[], int]:
    """A function that finds a free port of 127.0.0.1."""
    return free_port


# --- a whole platform ----------------------------------------------------------------------------------------------


def write_project(folder: Path, ragops: Cli) -> Path:
    """A project as `ragops init` writes it, on free ports."""
    done = ragops("init", str(folder), "--name", "test", cwd=folder.parent)
    assert done.code == 0, done.err
    config = folder / "ragops.yaml"
    text = config.read_text()
    text = re.sub(r"port: \d+", lambda _found: f"port: {free_port()}", text)
    config.write_text(text)
    return folder


@pytest.fixture(scope="module")
def module_project(module_workspace: Path, ragops: Cli) -> Path:
    """The same for all tests of a module."""
    return write_project(module_workspace / "project", ragops)


@pytest.fixture
def project(workspace: Path, ragops: Cli) -> Path:
    """The folder of a new project that is not up."""
    return write_project(workspace / "project", ragops)


@pytest.fixture(scope="session")
def platform(ragops: Cli) -> Iterator[Path]:
    """The folder of a project that is up; whoever changes it brings it back as it was."""
    with scratch("platform") as folder:
        root = write_project(folder / "platform", ragops)
        try:
            done = ragops("up", "--yes", cwd=root)
            assert done.code == 0, done.err
            yield root
        finally:
            done = ragops("down", "--yes", cwd=root)
            assert done.code == 0, done.err


# --- helpers, as fixtures because test modules do not import one another --------------------------------------------


@pytest.fixture(name="wait_until", scope="session")
def _wait_until() -> Callable[..., None]:
    """A function that polls until a condition is true."""
    return wait_until


@pytest.fixture(name="processes_of", scope="session")
def _processes_of() -> Callable[[Path], list[psutil.Process]]:
    """A function that lists what runs for a folder."""
    return processes_of
