"""The start of a container, run by every POSIX shell that is here."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from ragops.runtimes.docker.provision.args import start_script
from ragops.services.spec import InitStep

if TYPE_CHECKING:
    from pathlib import Path

SHELLS = [
    pytest.param(words, marks=pytest.mark.skipif(shutil.which(words[0]) is None, reason=f"no {words[0]} here"))
    for words in (("dash",), ("busybox", "sh"), ("bash", "--posix"))
]
INIT = InitStep(("sh", "-c", 'mkdir "$0" && : >"$0/PG_VERSION" && echo "init $0"', "{data}"), "PG_VERSION")


class Start:
    """Runs the script as a container would, with a program that prints its arguments."""

    def __init__(self, shell: tuple[str, ...], data: Path) -> None:
        self.shell, self.data = shell, data

    def __call__(self, init: InitStep | None = None, locks: tuple[str, ...] = (), data: str | None = None) -> list[str]:
        done = self.run(init, locks, data)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def run(
        self, init: InitStep | None = None, locks: tuple[str, ...] = (), data: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        script = start_script(str(self.data) if data is None else data, init, locks)
        program = ("printf", "%s\\n", "served", "two words")
        return subprocess.run(
            [*self.shell, "-c", script, "ragops", *program], capture_output=True, text=True, check=False, timeout=30
        )

    def beside(self) -> set[str]:
        return {path.name for path in self.data.parent.iterdir()}


@pytest.fixture(params=SHELLS)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Start:
    folder = tmp_path / "a mount"
    folder.mkdir()
    return Start(request.param, folder / "current")


def test_the_program_gets_its_arguments_and_an_empty_folder(start: Start) -> None:
    assert start() == ["served", "two words"]
    assert list(start.data.iterdir()) == []
    assert start.data.stat().st_mode & 0o777 == 0o700
    (start.data / "kept").touch()
    assert start() == ["served", "two words"]
    assert (start.data / "kept").exists()


def test_a_service_without_data_just_starts(start: Start) -> None:
    assert start(data="") == ["served", "two words"]
    assert start.beside() == set()


def test_the_exit_code_and_the_process_are_the_programs_own(start: Start) -> None:
    script = start_script(str(start.data))
    shell = subprocess.Popen([*start.shell, "-c", script, "ragops", "sh", "-c", "echo $$; exit 7"], stdout=-1)
    out, _ = shell.communicate(timeout=30)
    assert (int(out), shell.returncode) == (shell.pid, 7)


def test_an_empty_folder_is_initialised_once_beside_it(start: Start) -> None:
    assert start(INIT) == [f"init {start.data}.init-new", "served", "two words"]
    assert start(INIT) == ["served", "two words"]
    assert start.beside() == {"current"}


def test_a_folder_that_was_made_empty_is_initialised_too(start: Start) -> None:
    start.data.mkdir()
    assert start(INIT)[0].startswith("init ")
    assert (start.data / "PG_VERSION").exists()
    assert start.beside() == {"current"}


def test_what_a_killed_initialisation_left_starts_over(start: Start) -> None:
    left = start.data.with_name("current.init-new")
    left.mkdir()
    (left / "half").touch()
    assert start(INIT)[0].startswith("init ")
    assert not (start.data / "half").exists()
    assert start.beside() == {"current"}


def test_a_failed_initialisation_starts_nothing_and_says_why(start: Start) -> None:
    done = start.run(InitStep(("sh", "-c", 'mkdir "$0"; echo broken >&2; exit 3', "{data}"), "PG_VERSION"))
    assert (done.returncode, done.stdout) == (3, "")
    assert "broken" in done.stderr
    assert not start.data.exists()


def test_files_of_somebody_else_are_never_initialised_over(start: Start) -> None:
    start.data.mkdir()
    (start.data / ".hidden").write_text("dear")
    done = start.run(INIT)
    assert (done.returncode, done.stdout) == (78, "")
    assert "has files but no PG_VERSION" in done.stderr
    assert (start.data / ".hidden").read_text() == "dear"


@pytest.mark.parametrize("init", [None, INIT])
def test_restored_data_that_wait_take_their_place(start: Start, init: InitStep | None) -> None:
    ready = start.data.with_name("current.ready")
    ready.mkdir()
    (ready / "PG_VERSION").write_text("restored")
    assert start(init) == ["served", "two words"]
    assert (start.data / "PG_VERSION").read_text() == "restored"
    assert start.beside() == {"current"}


def test_restored_data_never_take_the_place_of_others(start: Start) -> None:
    start.data.mkdir()
    start.data.with_name("current.ready").mkdir()
    start()
    assert start.beside() == {"current", "current.ready"}


def test_locks_of_a_killed_engine_go(start: Start) -> None:
    start.data.mkdir()
    for name in ("postmaster.pid", "a lock", "data"):
        (start.data / name).touch()
    start(locks=("postmaster.pid", "a lock", "missing"))
    assert [path.name for path in start.data.iterdir()] == ["data"]
