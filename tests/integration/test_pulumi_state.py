"""The Pulumi state on the real engine: what is damaged is named, locks are released by who holds them, history ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.pulumi import install
from ragops.adapters.pulumi.command import InterruptibleCommand
from ragops.adapters.pulumi.engine import PulumiStack
from ragops.adapters.pulumi.options import StackOptions
from ragops.errors import LockedError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ragops.adapters.pulumi.state import LocalState

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work directory with a state in it."""
    folder = tmp_path_factory.mktemp("state") / ".ragops" / "pulumi" / "default"
    opened(folder).up()
    return folder


@pytest.fixture
def work_dir(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / ".ragops" / "pulumi" / "default"))


def options(folder: Path) -> StackOptions:
    return StackOptions("rag", "default", folder, folder / "passphrase")


def opened(folder: Path) -> PulumiStack:
    engine = install.find()
    if engine is None:
        pytest.skip("the Pulumi engine is not installed: nothing about its state was tried")
    return PulumiStack(engine, options(folder), lambda: None)


def state_of(folder: Path) -> LocalState:
    found = options(folder).local()
    assert found
    return found


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


DAMAGE: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "cut off": ("checkpoint", _cut),
    "empty": ("checkpoint", lambda path: path.write_bytes(b"")),
    "zeros": ("checkpoint", lambda path: path.write_bytes(b"\0" * 4096)),
    "garbled": ("checkpoint", lambda path: path.write_bytes(os.urandom(4096))),
    "another JSON": ("checkpoint", lambda path: path.write_text("[]")),
    "another format": ("checkpoint", lambda path: path.write_text('{"version": 99, "checkpoint": {}}')),
    "a folder in its place": ("checkpoint", lambda path: (path.unlink(), path.mkdir())),
    "layout of the future": ("meta", lambda path: path.write_text("version: 7\n")),
    "empty layout": ("meta", lambda path: path.write_text("")),
    "garbled settings": ("settings", lambda path: path.write_text("encryptionsalt: [\n")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_named_with_the_way_out(work_dir: Path, damage: str) -> None:
    which, harm = DAMAGE[damage]
    path = getattr(state_of(work_dir), which)
    harm(path)
    with pytest.raises(RagopsError) as refused:
        opened(work_dir)
    assert refused.value.code == "state_damaged"
    assert str(path) in refused.value.message
    assert "`ragops up --repair-state`" in refused.value.hint


@pytest.mark.parametrize("damage", ["empty", "cut off", "zeros"])
@pytest.mark.parametrize("which", ["checkpoint", "meta"])
def test_attributes_that_a_killed_engine_left_half_written_are_not_in_the_way(
    work_dir: Path, which: str, damage: str
) -> None:
    """The engine writes them in place next to each file, and no `up` or `down` opens a file with broken ones."""
    path = getattr(state_of(work_dir), which)
    attributes = path.with_name(f"{path.name}.attrs")
    harm = {"empty": b"", "cut off": attributes.read_bytes()[:40], "zeros": b"\0" * 212}
    attributes.write_bytes(harm[damage])
    opened(work_dir).up()
    opened(work_dir).destroy()


@pytest.mark.parametrize("damage", ["cut off", "a folder in its place", "layout of the future", "garbled settings"])
def test_what_is_set_aside_leaves_a_state_that_works(work_dir: Path, damage: str) -> None:
    which, harm = DAMAGE[damage]
    state = state_of(work_dir)
    harm(getattr(state, which))
    aside, _ = state.set_aside(keep_backup=True)
    assert (aside / getattr(state, which).name).exists(), "nothing is thrown away"
    opened(work_dir).up()
    assert state.fault() is None


def test_the_state_of_one_step_before_is_used_where_it_is_whole(work_dir: Path) -> None:
    state = state_of(work_dir)
    before = state.backup.read_text()
    _cut(state.checkpoint)
    assert state.set_aside(keep_backup=True)[1] is True
    assert state.checkpoint.read_text() == before
    opened(work_dir).resources()
    _cut(state.checkpoint)
    assert state.set_aside(keep_backup=True)[1] is False, "there is none any more"


def test_missing_settings_and_a_missing_layout_are_no_obstacle(work_dir: Path) -> None:
    state = state_of(work_dir)
    state.settings.unlink()
    state.meta.unlink()
    opened(work_dir).up()


def test_a_salt_that_was_lost_comes_back_out_of_the_state(work_dir: Path) -> None:
    state = state_of(work_dir)
    salt = state.settings.read_text()
    state.settings.write_text("encryptionsalt: v1:AAAAAAAAAAA=:v1:AAAAAAAAAAAAAAAA:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n")
    with pytest.raises(RagopsError) as refused:
        opened(work_dir).up()
    assert refused.value.code == "wrong_passphrase"
    assert "--repair-state" in refused.value.hint
    assert state.repair_salt()
    assert state.settings.read_text().strip() == salt.strip()
    opened(work_dir).up()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user who may not read")
def test_a_file_that_may_not_be_read_is_not_called_broken(work_dir: Path) -> None:
    state = state_of(work_dir)
    for folder in (*work_dir.parents,):
        if str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o711)
    for path in (work_dir, *work_dir.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    state.checkpoint.chmod(0o600)
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom ragops.adapters.pulumi.state import LocalState\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "state = LocalState(Path(sys.argv[1]) / 'state', Path(sys.argv[1]), 'rag', 'default')\n"
        "try:\n    state.fault()\nexcept Exception as error:\n    print(error.code, error.message, error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(work_dir)], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("not_permitted ")
    assert str(state.checkpoint) in done.stdout
    assert "--repair-state" not in done.stdout


# --- passphrases -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"])
def test_another_passphrase_of_the_shell_is_refused_by_name(
    work_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "other").write_text("other")
    monkeypatch.setenv(name, "other" if name.endswith("PASSPHRASE") else str(tmp_path / "other"))
    with pytest.raises(RagopsError) as refused:
        opened(work_dir)
    assert refused.value.code == "passphrase_differs"
    assert refused.value.message.startswith(f"{name} is set in this shell")
    assert refused.value.hint.endswith(f"`unset {name}`")
    stored = (work_dir / "passphrase").read_text()
    assert stored not in refused.value.message + refused.value.hint
    (tmp_path / "other").write_text(f"{stored}\n")
    monkeypatch.setenv(name, stored if name.endswith("PASSPHRASE") else str(tmp_path / "other"))
    opened(work_dir).resources()


def test_a_lost_passphrase_is_not_replaced_by_a_new_one(work_dir: Path) -> None:
    (work_dir / "passphrase").unlink()
    with pytest.raises(RagopsError) as refused:
        opened(work_dir)
    assert refused.value.code == "passphrase_missing"
    assert not (work_dir / "passphrase").exists()


# --- locks -----------------------------------------------------------------------------------------------------------


def lock(state: LocalState, **changes: Any) -> Path:
    values = {"pid": 4711, "username": "bob", "hostname": socket.gethostname(), "timestamp": "2026-01-01T10:00:00.5Z"}
    state.locks.mkdir(parents=True, exist_ok=True)
    path = state.locks / "0b1c.json"
    path.write_text(json.dumps(values | changes))
    return path


def test_a_lock_of_another_host_is_shown_with_the_command_that_releases_it(work_dir: Path) -> None:
    path = lock(state_of(work_dir), hostname="lost.example")
    with pytest.raises(LockedError) as refused:
        opened(work_dir).up()
    assert "pid 4711 of bob on lost.example, since 2026-01-01T10:00:00Z" in refused.value.message
    assert "`ragops unlock`" in refused.value.hint
    assert "kill" not in refused.value.hint
    assert path.exists()


@pytest.fixture
def innocent() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "300"]) as process:
        yield process
        process.kill()


def test_a_lock_whose_pid_another_process_has_by_now_is_taken_over(
    work_dir: Path, innocent: subprocess.Popen[bytes]
) -> None:
    path = lock(state_of(work_dir), pid=innocent.pid)
    opened(work_dir).up()
    assert not path.exists()
    assert innocent.poll() is None


def test_a_process_that_is_no_engine_is_not_the_holder_whenever_it_began(
    work_dir: Path, innocent: subprocess.Popen[bytes]
) -> None:
    lock(state_of(work_dir), pid=innocent.pid, timestamp="2999-01-01T10:00:00Z")
    opened(work_dir).up()
    assert innocent.poll() is None


def test_an_engine_that_runs_keeps_its_lock(work_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragops.adapters.pulumi.engine._LOCK_WAIT", 0.0)
    program = tmp_path / "pulumi"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "300"]) as running:
        try:
            path = lock(state_of(work_dir), pid=running.pid, timestamp="2999-01-01T10:00:00Z")
            with pytest.raises(LockedError, match=f"pid {running.pid} of bob"):
                opened(work_dir).up()
            assert path.exists()
            assert running.poll() is None
        finally:
            running.send_signal(signal.SIGKILL)


# --- what grows, and who may read it ---------------------------------------------------------------------------------


def test_the_history_is_bounded_and_nothing_is_for_others(work_dir: Path) -> None:
    folder = state_of(work_dir).root / ".pulumi"
    for name in ("history", "backups"):  # as many as some weeks of an older ragops leave
        one = folder / name / "rag" / "default"
        for number in range(60):
            (one / f"default-17958615464654{number:05d}.checkpoint.json").write_text("{}")
            (one / f"default-17958615464654{number:05d}.history.json").write_text("{}")
    newest = max((folder / "history" / "rag" / "default").iterdir(), key=lambda path: path.stat().st_mtime_ns).name
    assert newest
    opened(work_dir).up()
    for name in ("history", "backups"):
        left = list((folder / name / "rag" / "default").iterdir())
        assert 0 < len(left) <= 5 * 4
    assert not [path for path in work_dir.rglob("*") if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    assert stat.S_IMODE(work_dir.stat().st_mode) == stat.S_IMODE(work_dir.parent.stat().st_mode) == 0o700


def test_the_engine_is_started_once_for_each_operation(work_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start takes half a second of processor time; the events have reported what it would be asked for."""
    started: list[str] = []
    run = InterruptibleCommand.run

    def counted(self: InterruptibleCommand, args: list[str], *more: Any, **named: Any) -> Any:
        started.append(args[0])
        return run(self, args, *more, **named)

    monkeypatch.setattr(InterruptibleCommand, "run", counted)
    stack = opened(work_dir)
    assert stack.up().steps == ()
    stack.drift()
    stack.destroy()
    assert started == ["up", "refresh", "destroy"]
