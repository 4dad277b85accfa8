"""Repositories that take new files only: S3 that refuses, a folder of `chattr +a`, an SFTP server without renames."""

from __future__ import annotations

import json
import random
import subprocess
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.storage.folder import FolderStore
from ragops.config.backup import KeepSettings
from ragops.errors import ExitCode, LockedError, MissingError, RagopsError, StoreRefusedError
from ragops.operations.backup.prune import prune
from ragops.operations.backup.replicate import copy, pin, replicate_point
from ragops.operations.repositories import _finding
from ragops.recovery.local_history import History
from ragops.recovery.lock import Timing, hold_lock
from ragops.recovery.repositories import Repositories
from ragops.recovery.repository import LockRequest, Repository
from tests.backup_helpers import MemoryStore, open_repositories, put_point
from tests.integration.stores.conftest import Place, s3_place
from tests.integration.stores.narrow_sftp import sftp_without_renames
from tests.integration.stores.refusing import Rules, refusing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.adapters.storage import Store
    from ragops.recovery.point import RecoveryPoint

pytestmark = pytest.mark.servers

MIB = 1 << 20
QUICK = Timing(heartbeat=0.05, poll=0.02)
LOCKER = LockRequest("the tests")
START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)


class Append:
    """A place that takes new files only, and `open_whole`: the same with rights to everything."""

    def __init__(self, narrow: Any, whole: Any, largest: int = 20 * MIB) -> None:
        self.open, self.open_whole, self.largest = narrow, whole, largest
        self.settle = lambda: None  # what has to be done for new folders to be as narrow


@pytest.fixture(params=["s3", "folder", "sftp"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Append]:
    """Each kind in turn."""
    if request.param == "s3":
        server = request.getfixturevalue("s3_server")
        with refusing(server.data, server.port) as (rules, port):
            rules.all()
            whole = s3_place(server)
            narrow = Place("s3", whole.url, {**whole.options, "endpoint_url": f"http://127.0.0.1:{port}"})
            yield Append(narrow.open, whole.open)
    elif request.param == "folder":
        with append_only(tmp_path / "repository") as folder:
            append = Append(lambda: FolderStore(folder), lambda: Unlocked(folder))
            append.settle = lambda: subprocess.run(["chattr", "-R", "+a", folder], check=True)
            yield append
    else:
        with sftp_without_renames(tmp_path) as narrow:
            yield Append(narrow.open, lambda: FolderStore(tmp_path / "served/repository"), largest=MIB)


@contextmanager
def append_only(folder: Path) -> Iterator[Path]:
    """A folder whose environment `prod` and locks take new files only, where the file system can do that."""
    for path in (folder, folder / "prod", folder / "prod/locks", folder / "prod/kept"):
        path.mkdir()
    done = subprocess.run(["chattr", "-R", "+a", folder], capture_output=True, check=False, text=True)
    if done.returncode:
        pytest.skip(f"missing: `chattr +a` on this file system: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["chattr", "-R", "-a", folder], check=True, capture_output=True)


class Unlocked(FolderStore):
    """The folder as its owner on the server has it."""

    def __init__(self, folder: Path) -> None:
        subprocess.run(["chattr", "-R", "-a", folder], check=True, capture_output=True)
        super().__init__(folder)


def put(store: Store, path: str, content: bytes) -> None:
    with store.open_write(path) as stream:
        stream.write(content)


def paths(store: Store, prefix: str = "") -> list[str]:
    return [entry.path for entry in store.list_entries(prefix)]


def point_in(repository: Repository, repos: Repositories, number: int = 1) -> RecoveryPoint:
    return put_point(repository, repos.signing_key(), sequence=number, created=START + timedelta(days=number))


def repositories_at(store: Store, folder: Path, *copies: Store) -> Repositories:
    """Repositories in the stores, with keys of its own in `folder`."""
    repositories = tuple(Repository(item, "prod") for item in (store, *copies))
    return Repositories(repositories, folder / "staging", folder / "signing.pem", history=History(folder / "history"))


# --- one file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("large", [False, True])
def test_new_files_are_written_and_read(place: Append, large: bool) -> None:
    content = random.Random(1).randbytes(place.largest if large else 10)
    store = place.open()
    for name in ("one", "two"):
        put(store, f"prod/{name}", content)
    assert place.open().read_all(["prod/one", "prod/two", "prod/none"]) == {"prod/one": content, "prod/two": content}
    with place.open().open_read("prod/two") as stream:
        assert stream.read() == content
    assert paths(store, "prod") == ["prod/one", "prod/two"]
    assert paths(store, "prod/nothing") == []


def test_what_is_there_is_neither_replaced_nor_removed(place: Append) -> None:
    store = place.open()
    put(store, "prod/part", b"before")
    for _ in range(2):  # found out, and known
        with pytest.raises(StoreRefusedError) as caught:
            put(store, "prod/part", b"afterwards")
        assert (caught.value.code, caught.value.exit_code) == ("repository_append_only", ExitCode.MISSING)
    with pytest.raises(StoreRefusedError) as caught:
        store.remove(["prod/part"])
    assert "append_only" in caught.value.hint
    store.remove(["prod/none"])
    assert place.open().read_all(["prod/part"]) == {"prod/part": b"before"}


def test_a_block_that_fails_leaves_nothing_to_be_read(place: Append) -> None:
    store = place.open()
    put(store, "prod/known", b"1")
    with pytest.raises(ZeroDivisionError), store.open_write("prod/part") as stream:
        stream.write(b"x" * MIB)
        raise ZeroDivisionError
    assert paths(store, "prod") in (["prod/known"], ["prod/known", "prod/part"])  # SFTP has no files without names


# --- the lock -------------------------------------------------------------------------------------------------------


def test_the_lock_is_held_and_given_back_again_and_again(place: Append, wait_until: Any) -> None:
    said: list[str] = []
    for _ in range(3):
        with hold_lock(place.open(), "prod", "ragops backup run", 0, said.append, QUICK) as held:
            first = held.path
            with pytest.raises(LockedError), hold_lock(place.open(), "prod", "x", 0, said.append, QUICK):
                pass
            wait_until(lambda: held.path != first)  # noqa: B023  it beats
            held.check()
    assert said == []


@pytest.mark.fault
def test_the_lock_of_a_run_that_was_killed_is_taken_over_once(place: Append) -> None:
    lock = _leave(place.open(), "20200101T000000000000Z-abc.json", started="12")
    said: list[str] = []
    for _ in range(2):
        with hold_lock(place.open(), "prod", "x", 0, said.append, QUICK) as held:
            held.check()
    assert len(said) == 1
    assert "took over" in said[0]
    assert lock in paths(place.open())


def test_a_lock_of_another_machine_lapses(place: Append) -> None:
    foreign = {"host": "elsewhere", "machine": "0", "boot": "1", "space": ""}
    name = "20200101T000000000000Z-abc"
    _leave(place.open(), f"{name}.json", **foreign)
    _leave(place.open(), f"{name}.000001.json", **foreign)
    with pytest.raises(LockedError, match="elsewhere"), hold_lock(place.open(), "prod", "x", 0, print, QUICK):
        pass
    _leave(place.open(), f"{name}.000002.json", **foreign, time=time.time() - 700)
    said: list[str] = []
    with hold_lock(place.open(), "prod", "x", 0, said.append, QUICK):
        pass
    assert "took over" in said[-1]


def test_who_may_remove_clears_what_ended(place: Append) -> None:
    for _ in range(2):
        with hold_lock(place.open(), "prod", "x", 0, print, QUICK):
            pass
    assert len(paths(place.open(), "prod/locks")) >= 4
    whole = place.open_whole()
    with hold_lock(whole, "prod", "x", 0, print, QUICK):
        pass
    assert paths(whole, "prod/locks") == []


def _leave(store: Store, name: str, **changes: Any) -> str:
    """A lock that somebody left."""
    from ragops.adapters.process_identity import current_process

    owner = {
        **vars(current_process()),
        **{key: changes.pop(key) for key in list(changes) if key in vars(current_process())},
    }
    note = {
        "owner": owner, "command": "ragops backup run", "since": "2020-01-01T00:00:00Z", "held": True, "count": 7,
        "time": time.time(), "every": 0.1, **changes,
    }  # fmt: skip
    put(store, f"prod/locks/{name}", json.dumps(note).encode())
    return f"prod/locks/{name}"


# --- recovery points ------------------------------------------------------------------------------------------------


def test_recovery_points_are_taken_again_and_again(place: Append, tmp_path: Path) -> None:
    said: list[str] = []
    locker = LockRequest("the tests", 0.0, said.append)
    for number in range(3):
        repos = repositories_at(place.open(), tmp_path)
        with repos.primary.create_draft(locker) as draft:
            assert draft.sequence == number + 1
            with draft.open_write("redis/half.zst") as stream:
                stream.write(b"x")
            example = put_point(Repository(MemoryStore(), "prod"), repos.signing_key())
            from ragops.recovery.repository import publish

            values = {"id": draft.id, "sequence": draft.sequence, "created": draft.created, "parts": ()}
            publish(draft, example.manifest.model_copy(update=values), repos.signing_key())
    assert len(repositories_at(place.open(), tmp_path).primary.list().points) == 3
    assert said == []


def test_what_a_failed_run_left_is_no_fault_of_the_next(place: Append, tmp_path: Path) -> None:
    repos = repositories_at(place.open(), tmp_path)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), repos.primary.create_draft(LOCKER) as draft:
            with draft.open_write("redis/half.zst") as stream:
                stream.write(b"x")
            raise ZeroDivisionError
    assert repos.primary.list().points == ()
    point_in(repos.primary, repos)
    whole = repositories_at(place.open_whole(), tmp_path)
    prune(whole, KeepSettings(), LOCKER).require_all()
    assert [name for name in paths(whole.primary.store) if "half" in name] == [], "who prunes clears it"
    assert len(whole.primary.list().points) == 1


def test_copies_go_there_and_an_interrupted_one_is_completed(place: Append, tmp_path: Path) -> None:
    repos = repositories_at(FolderStore(tmp_path / "own"), tmp_path, place.open())
    points = [
        put_point(repos.primary, repos.signing_key(), {"redis/a": b"one", "redis/b": b"two"}, sequence=number)
        for number in (1, 2)
    ]
    assert [item.error for item in copy(repos, points[0], locker=LOCKER)] == [None]
    with points[1].store.open_read(f"{points[1].path}/redis/a.zst") as part:  # as far as it came
        put(place.open(), f"{points[1].path}/redis/a.zst", part.read())
    for _ in range(2):
        replicate_point(repos, points[1].id, locker=LOCKER).require_all()
    there = Repository(place.open(), "prod").list().points
    assert [point.id for point in there] == [points[1].id, points[0].id]
    for point in there:
        point.verify()


def test_a_damaged_copy_cannot_be_replaced_and_that_is_said(place: Append, tmp_path: Path) -> None:
    repos = repositories_at(FolderStore(tmp_path / "own"), tmp_path, place.open())
    point = put_point(repos.primary, repos.signing_key(), {"redis/a": b"one", "redis/b": b"two"})
    put(place.open(), f"{point.path}/redis/a.zst", b"something else")
    place.settle()
    (done,) = copy(repos, point, locker=LOCKER)
    assert done.error
    assert (done.error.code, done.error.exit_code) == ("repository_append_only", ExitCode.MISSING)
    assert Repository(place.open(), "prod").list().points == ()


def test_marks_are_set_and_not_taken_away(place: Append, tmp_path: Path) -> None:
    repos = repositories_at(place.open(), tmp_path)
    point = point_in(repos.primary, repos)
    for _ in range(2):
        pin(repos, point, keep=True, locker=LOCKER)
    assert repos.primary.get(point.id).is_pinned
    with pytest.raises(StoreRefusedError) as caught:
        pin(repos, point, keep=False, locker=LOCKER)
    assert f"cannot take the mark from {point.id}" in caught.value.message
    assert "takes new files only" in caught.value.message
    assert f"`ragops backup keep {point.id} --off` where the key" in caught.value.hint
    assert repos.primary.get(point.id).is_pinned
    other = point_in(repos.primary, repos, 2)
    pin(repos, other, keep=False, locker=LOCKER)  # it has no mark: there is nothing to remove


def test_prune_says_that_it_cannot_and_another_key_can(place: Append, tmp_path: Path) -> None:
    repos = repositories_at(place.open(), tmp_path)
    points = [point_in(repos.primary, repos, number) for number in range(4)]
    place.settle()
    result = prune(repos, KeepSettings(daily=2), LOCKER)
    with pytest.raises(RagopsError) as caught:
        result.require_all()
    assert (caught.value.code, caught.value.exit_code) == ("prune_failed", ExitCode.MISSING)
    assert "2 recovery points" in caught.value.message
    assert "append_only: true" in caught.value.hint
    assert all(verdict.keep for verdict in result.repositories[0].verdicts)
    assert len(repos.primary.list().points) == 4
    declared = Repository(place.open(), "prod", append_only=True)
    left = prune(Repositories((declared,), tmp_path, tmp_path / "signing.pem"), KeepSettings(daily=2), LOCKER)
    left.require_all()
    assert {verdict.reason for verdict in left.repositories[0].verdicts[2:]} == {"append_only: prune is run elsewhere"}
    elsewhere = repositories_at(place.open_whole(), tmp_path)
    prune(elsewhere, KeepSettings(daily=2), LOCKER).require_all()
    assert [point.id for point in elsewhere.primary.list().points] == [points[3].id, points[2].id]


def test_doctor_tells_it(place: Append) -> None:
    check = _finding(Repository(place.open(), "prod"))
    assert "takes new files only" in check.detail
    assert "append_only: true" in check.hint
    assert _finding(Repository(place.open(), "prod", append_only=True)).status.value == "ok"


# --- S3 that refuses some of it -------------------------------------------------------------------------------------


@pytest.fixture
def s3_rules(s3_server: Any) -> Iterator[tuple[Rules, Place, Place]]:
    """Rules, the place behind them, the place itself."""
    with refusing(s3_server.data, s3_server.port) as (rules, port):
        whole = s3_place(s3_server)
        yield rules, Place("s3", whole.url, {**whole.options, "endpoint_url": f"http://127.0.0.1:{port}"}), whole


@pytest.mark.parametrize("refuses", ["delete", "overwrite", "ask_for_missing"])
def test_one_refusal_alone(s3_rules: tuple[Rules, Place, Place], tmp_path: Path, refuses: str) -> None:
    rules, narrow, _ = s3_rules
    setattr(rules, refuses, True)
    said: list[str] = []
    for number in range(2):
        repos = repositories_at(narrow.open(), tmp_path)
        with hold_lock(narrow.open(), "prod", "x", 0, said.append, QUICK) as held:
            held.check()
        point_in(repos.primary, repos, number)
    assert said == []
    assert len(repos.primary.list().points) == 2
    assert rules.denied


def test_an_upload_that_may_not_be_aborted(s3_rules: tuple[Rules, Place, Place]) -> None:
    rules, narrow, whole = s3_rules
    rules.all()
    store = narrow.open()
    with pytest.raises(ZeroDivisionError), store.open_write("prod/part") as stream:
        stream.write(b"x" * 20 * MIB)
        raise ZeroDivisionError
    assert any("uploadId" in request for request in rules.denied)
    assert paths(whole.open()) == []
    put(store, "prod/part", b"x" * 20 * MIB)
    with pytest.raises(StoreRefusedError):  # in parts as well
        put(store, "prod/part", b"y" * 20 * MIB)


def test_wrong_keys_are_told_as_before(s3_rules: tuple[Rules, Place, Place]) -> None:
    rules, narrow, _ = s3_rules
    put(narrow.open(), "prod/part", b"1")
    rules.all()
    for call in (lambda store: put(store, "prod/part", b"2"), lambda store: store.remove(["prod/part"])):
        with pytest.raises(MissingError) as caught:
            call(narrow.open(secret="not-the-secret"))
        assert caught.value.code == "repository_login"


def test_prune_removes_what_may_go(tmp_path: Path) -> None:
    """Object lock holds the newer ones for a while."""

    class Locked(FolderStore):
        def remove(self, names: Any) -> None:
            for name in (listed := list(names)):
                if held in name:
                    raise StoreRefusedError("repository_append_only", f"cannot remove {name}", "later")
            super().remove(listed)

    repos = open_repositories(tmp_path)
    points = [point_in(repos.primary, repos, number) for number in range(4)]
    held = points[1].id
    locked = Repositories((Repository(Locked(tmp_path / "backups"), "default"),), tmp_path, tmp_path / "signing.pem")
    result = prune(locked, KeepSettings(daily=1), LOCKER)
    assert [point.id for point in locked.primary.list().points] == [points[3].id, held]
    assert len(result.failures) == 1
