"""Taking recovery points: side by side, in the order that keeps references whole, and all or nothing."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyrage
import pytest

from ragops.adapters import cancellation
from ragops.adapters.background import BackgroundTask
from ragops.errors import IntegrityError, MissingError, RagopsError
from ragops.operations.backup import create, replicate
from ragops.operations.backup.create import BackupRequest
from ragops.operations.backup.list_points import overview
from ragops.operations.backup.part_writer import _until
from ragops.operations.backup.verify import verify
from ragops.recovery.manifest import Kind
from ragops.recovery.repository import LockRequest, Repository
from ragops.services.contract import Part
from tests.backup_helpers import (
    MemoryStore,
    files_of,
    folder_of,
    nothing_left,
    open_repositories,
    stored,
    take,
    unpack,
)
from tests.fake_engines import ORDER, FakeEngine, Meeting, Output, engines, platform_of, plugged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.adapters.progress import Progress
    from ragops.recovery.repositories import Repositories

pytestmark = pytest.mark.timeout(120)
LOCKER = LockRequest("the tests")


def threads() -> list[str]:
    names = [item.name for item in threading.enumerate() if item.name.startswith("ragops-")]
    return [name for name in names if name != "ragops-spawn"]  # it starts tools, and stays for the next one


# --- what is taken ------------------------------------------------------------------------------------------------


def test_every_part_of_every_service_in_order(fakes: Any, repos: Repositories, tmp_path: Path) -> None:
    point = take(platform_of(), repos)
    assert [part.path for part in point.manifest.parts] == [
        f"{name}/{part}" for name in ORDER for part in ("one", "two")
    ]
    for service in ORDER:
        folder = unpack(repos, point, service, tmp_path / "plain" / service)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == fakes[service].live
    assert point.manifest.parts[0].counts == {"one.bytes": 16000}
    assert point.manifest.parts[0].versions == {"fake": "1.0"}
    assert point.manifest.sequence == 1
    assert point.find_faults() == ()
    assert point.signed.signature.key == repos.signing_key().public
    assert files_of(repos.staging) == []
    assert threads() == []
    assert take(platform_of(), repos).manifest.sequence == 2


def test_what_is_asked_for_and_no_more(fakes: Any, repos: Repositories) -> None:
    point = take(platform_of(), repos, request=BackupRequest(Kind.SAFETY, ("redis",)))
    assert {part.service for part in point.manifest.parts} == {"redis"}
    assert point.manifest.kind is Kind.SAFETY
    assert fakes["qdrant"].steps == []
    with pytest.raises(MissingError):
        take(platform_of(["redis"]), repos, request=BackupRequest(services=("qdrant",)))


def test_files_of_the_project_and_no_secrets_where_it_is_not_encrypted(
    fakes: Any, repos: Repositories, tmp_path: Path
) -> None:
    config, secret = tmp_path / "ragops.yaml", tmp_path / "secrets.json"
    config.write_text("name: p\n")
    secret.write_text("hunter2")
    platform = platform_of(files={"ragops.yaml": config}, sealed={"secrets.json": secret}, images={"redis": "sha256:1"})
    point = take(platform, repos)
    assert [part.path for part in point.manifest.parts_of("platform")] == ["platform/ragops.yaml"]
    assert (unpack(repos, point, "platform", tmp_path / "plain") / "ragops.yaml").read_text() == "name: p\n"
    assert point.manifest.images == {"redis": "sha256:1"}
    assert not point.manifest.is_encrypted


def test_secrets_only_where_it_is_encrypted(fakes: Any, tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "identity").write_text(f"{identity}\n")
    repos = open_repositories(tmp_path, recipients=(str(identity.to_public()),), identity_file=tmp_path / "identity")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "a.pem").write_text("hunter2")
    (tmp_path / "secrets.json").write_text("hunter2")
    sealed = {"secrets.json": tmp_path / "secrets.json", "gateway": tmp_path / "keys", "gone": tmp_path / "nosuch"}
    point = take(platform_of(sealed=sealed), repos)
    assert point.manifest.recipients == (str(identity.to_public()),)
    (part,) = point.manifest.parts_of("platform")
    assert (part.path, part.counts) == ("platform/sealed.tar", {"files": 2})
    for item in point.manifest.parts:
        content = stored(point, item.path).read_bytes()
        assert item.stored.file.endswith(".zst.age")
        assert content.startswith(b"age-encryption.org/v1")
        assert b"hunter2" not in content
    folder = unpack(repos, point, "platform", tmp_path / "plain")
    with tarfile.open(folder / "sealed.tar") as archive:
        assert {member.name for member in archive if member.isfile()} == {"secrets.json", "gateway/a.pem"}
    assert files_of(repos.staging) == []


def test_progress_ends_with_one_last_word_on_each_part(fakes: Any, repos: Repositories) -> None:
    said: list[Progress] = []
    point = take(platform_of(), repos, on_progress=said.append)
    assert sorted(item.resource for item in said if item.final) == sorted(part.path for part in point.manifest.parts)
    for part in point.manifest.parts:
        mine = [item for item in said if item.resource == part.path and item.total]
        assert mine[-1].final
        assert {item.total for item in mine} == {part.size}
        assert [item.done for item in mine] == sorted(item.done for item in mine)


# --- order and company --------------------------------------------------------------------------------------------


def test_parts_of_several_services_are_taken_side_by_side(fakes: Any, repos: Repositories) -> None:
    """One part of each of three services has to be at work at once, or none goes on."""
    meeting, met = Meeting(3), set()

    def at(service: str, step: str) -> None:
        if step == "dump one":
            meeting()
            met.add(service)

    for service, engine in fakes.items():
        engine.at = lambda step, service=service: at(service, step)
    take(platform_of(), repos, request=BackupRequest(jobs=3))
    assert met == set(ORDER)


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_more_parts_at_once_than_asked_for(fakes: Any, repos: Repositories, jobs: int) -> None:
    now, most, turn = 0, 0, threading.Lock()

    def at(step: str) -> None:
        nonlocal now, most
        if step.startswith("dump"):
            with turn:
                now += 1
                most = max(most, now)
            threading.Event().wait(0.05)
            with turn:
                now -= 1

    for engine in fakes.values():
        engine.at = at
    take(platform_of(), repos, request=BackupRequest(jobs=jobs))
    assert most == jobs


def test_a_service_begins_when_the_instant_of_the_one_before_is_fixed(fakes: Any, repos: Repositories) -> None:
    """Metadata first, then what they refer to; and nobody waits for anything but the instant."""
    order: list[str] = []
    redis_began = threading.Event()

    def timescale(step: str) -> None:
        if step == "before":
            threading.Event().wait(0.3)  # time enough for another one to come first
            order.append("timescaledb")
        if step == "dump one":
            redis_began.wait(20)  # its parts take as long as they take

    def redis(step: str) -> None:
        if step == "before":
            order.append("redis")
            redis_began.set()

    fakes["timescaledb"].at, fakes["redis"].at = timescale, redis
    fakes["qdrant"].at = lambda step: order.append("qdrant") if step == "before" else None
    point = take(platform_of(), repos)
    assert order == ["timescaledb", "redis", "qdrant"]
    assert redis_began.is_set()
    instants = [point.manifest.parts_of(service)[0].instant for service in ORDER]
    assert instants == sorted(instants)


def test_writers_are_let_go_when_all_instants_are_fixed_and_before_the_parts_are_taken(
    fakes: Any, repos: Repositories
) -> None:
    released, fixed = threading.Event(), []

    class Held:
        instant = datetime(2026, 1, 2, tzinfo=UTC)

        def release(self) -> None:
            fixed.extend(name for name, engine in fakes.items() if "begun" in engine.steps or name == "qdrant")
            released.set()

    @contextmanager
    def held() -> Iterator[Held]:
        yield Held()

    for engine in fakes.values():
        engine.at = lambda step: released.wait(20) if step.startswith("dump") else None
    point = take(platform_of(), repos, held=held())
    assert released.is_set()
    assert set(fixed) == set(ORDER)
    assert point.manifest.quiesced == Held.instant


def test_an_engine_reads_a_part_while_it_is_stored(fakes: Any, repos: Repositories) -> None:
    """The engine's reading does not end before we have told how far storing is."""
    storing = threading.Event()

    def at(step: str) -> None:
        if step == "read one":
            assert storing.wait(20)

    fakes["redis"].at = at

    def on_progress(progress: Progress) -> None:
        if progress.resource == "redis/one" and progress.text == "storing":
            storing.set()

    take(platform_of(["redis"]), repos, on_progress=on_progress)


# --- parts that are stored while they are written -----------------------------------------------------------------


@pytest.fixture
def growing() -> Iterator[FakeEngine]:
    """Redis alone, with one part of 4 MB that tells when half of it is stored."""
    found = engines({"redis": {"grown": 300_000}})
    with plugged({"redis": found["redis"]}):
        yield found["redis"]


def test_a_part_is_stored_while_it_is_written(growing: FakeEngine, repos: Repositories, tmp_path: Path) -> None:
    """Its second half is not written before its first has been stored."""
    storing = threading.Event()
    growing.at = lambda step: _require(storing.wait(20)) if step == "half grown" else None
    point = take(
        platform_of(["redis"]),
        repos,
        on_progress=lambda progress: storing.set() if progress.text == "storing" and progress.done else None,
    )
    assert (unpack(repos, point, "redis", tmp_path / "plain") / "grown").read_bytes() == growing.live["grown"]
    assert point.manifest.parts[0].size == len(growing.live["grown"])
    assert files_of(repos.staging) == []
    assert threads() == []


def test_what_is_stored_is_what_is_read_meanwhile(growing: FakeEngine, repos: Repositories) -> None:
    """A checker gets the very bytes that are stored, and their end."""
    blocks: list[bytes] = []

    def dump_one(writer: Any, name: str, instant: datetime) -> None:
        part = Part(name, instant, {}, {"fake": "1.0"})
        writer.store(name, Output(growing.live[name]), lambda: part, blocks.append)

    growing._dump_one = dump_one  # type: ignore[method-assign]
    point = take(platform_of(["redis"]), repos)
    assert b"".join(blocks) == growing.live["grown"]
    assert blocks[-1] == b""
    assert all(blocks[:-1])
    assert len(blocks) > 2
    assert point.manifest.parts[0].sha256 == hashlib.sha256(growing.live["grown"]).hexdigest()


@pytest.mark.parametrize("stated", [hashlib.sha256(b"as it was").hexdigest(), "0" * 64])
def test_a_checksum_that_the_engine_states_is_compared_with_what_is_stored(
    growing: FakeEngine, repos: Repositories, stated: str
) -> None:
    def dump_one(writer: Any, name: str, instant: datetime) -> None:
        part = Part(name, instant, {}, {"fake": "1.0"})
        writer.store(name, Output(b"as it was"), lambda: part, sha256=lambda: stated)

    growing._dump_one = dump_one  # type: ignore[method-assign]
    if stated.startswith("0"):
        with pytest.raises(IntegrityError) as found:
            take(platform_of(["redis"]), repos)
        assert found.value.code == "part_damaged"
        assert nothing_left(repos)
    else:
        assert take(platform_of(["redis"]), repos).manifest.parts[0].sha256 == stated


def test_an_engine_that_fails_in_the_middle_leaves_nothing_and_says_why(
    growing: FakeEngine, repos: Repositories
) -> None:
    def at(step: str) -> None:
        if step == "half grown":
            raise RagopsError("told_to", "told to fail")

    growing.at = at
    with pytest.raises(RagopsError) as found:
        take(platform_of(["redis"]), repos)
    assert found.value.code == "told_to"
    assert nothing_left(repos)
    assert threads() == []


def test_a_check_that_fails_early_ends_the_dump(growing: FakeEngine, repos: Repositories) -> None:
    """No terabyte is stored that is known to be worth nothing."""
    failed = threading.Event()

    def at(step: str) -> None:
        if step == "read grown":
            failed.set()
            raise IntegrityError("told_to", "told to fail")
        if step == "half grown":
            assert failed.wait(20)
            time.sleep(0.1)

    growing.at = at
    rest: list[int] = []
    growing.live["grown"] *= 4
    read = Output.read

    def counted(self: Output, size: int, /) -> bytes:
        block = read(self, size)
        rest.append(len(self._rest))
        return block

    with pytest.MonkeyPatch.context() as patch, pytest.raises(IntegrityError, match="told to fail"):
        patch.setattr(Output, "read", counted)
        take(platform_of(["redis"]), repos)
    assert rest[-1] > 0
    assert nothing_left(repos)


def test_the_same_part_may_be_begun_again(growing: FakeEngine, repos: Repositories, tmp_path: Path) -> None:
    """As Qdrant does if a node is lost in the middle of a download; what read the first try is over by then."""
    whole, waiting = threading.Event(), threading.Event()

    def dump_one(writer: Any, name: str, instant: datetime) -> None:
        def read_back() -> Part:
            waiting.set()
            while not whole.wait(0.01):
                cancellation.check()
            return Part(name, instant, {}, {"fake": "1.0"})

        with pytest.raises(ConnectionError):
            writer.store(name, Output(growing.live[name][:5000], _lose), read_back)
        assert waiting.is_set()
        assert not any(thread.startswith("ragops-read") for thread in threads())
        whole.set()
        writer.store(name, Output(growing.live[name]), read_back)

    growing._dump_one = dump_one  # type: ignore[method-assign]
    point = take(platform_of(["redis"]), repos)
    assert (unpack(repos, point, "redis", tmp_path / "plain") / "grown").read_bytes() == growing.live["grown"]


def test_a_repository_that_fails_meanwhile_is_the_failure(growing: FakeEngine, repos: Repositories) -> None:
    broken = RagopsError("disk_full", "no space left")
    store = repos.primary.store
    writing = store.open_write

    @contextmanager
    def failing(path: str) -> Iterator[Any]:
        with writing(path) as stream:
            if path.endswith("grown.zst"):
                raise broken
            yield stream

    store.open_write = failing  # type: ignore[method-assign]
    with pytest.raises(RagopsError) as found:
        take(platform_of(["redis"]), repos)
    assert found.value is broken
    assert nothing_left(repos)


def _lose() -> None:
    raise ConnectionError


def _require(condition: bool) -> None:
    assert condition


# --- all or nothing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ORDER)
@pytest.mark.parametrize("step", ["before", "begun", "dump one", "dump two", "read one", "read two"])
def test_what_fails_anywhere_leaves_nothing(fakes: Any, repos: Repositories, service: str, step: str) -> None:
    def at(found: str) -> None:
        if found == step:
            raise RagopsError("told_to", "told to fail")

    fakes[service].at = at
    with pytest.raises(RagopsError) as caught:
        take(platform_of(), repos)
    assert caught.value.code == "told_to"
    assert nothing_left(repos)
    assert repos.primary.list().points == ()
    assert threads() == []
    fakes[service].at = lambda _step: None
    assert take(platform_of(), repos).manifest.sequence == 1, "the next run goes well"


@pytest.mark.parametrize("failing", ORDER)
def test_what_others_were_doing_is_over_when_a_failure_is_told(fakes: Any, repos: Repositories, failing: str) -> None:
    """Two services are in the middle of a part; whatever they still write is gone too."""
    busy, others = threading.Semaphore(0), [name for name in ORDER if name != failing]

    def working(step: str) -> None:
        if step == "dump one":
            busy.release()
            threading.Event().wait(1.0)

    def at(step: str) -> None:
        if step == "dump one":
            for _ in others:
                assert busy.acquire(timeout=20)
            raise RagopsError("told_to", "told to fail")

    for name in others:
        fakes[name].at = working
    fakes[failing].at = at
    with pytest.raises(RagopsError, match="told to fail"):
        take(platform_of(), repos, request=BackupRequest(jobs=3))
    assert threads() == []
    assert nothing_left(repos)


def test_a_service_that_fails_between_two_looks_at_it_is_not_left_out() -> None:
    """It is found to have ended, well as it seems: nothing had been wrong a moment before."""
    goes_on = threading.Event()

    def fail() -> None:
        goes_on.wait(20)
        raise RagopsError("told_to", "told to fail")

    job: BackgroundTask[None] = BackgroundTask(fail)

    def all_ended() -> bool:
        goes_on.set()
        return job.wait(20)

    with pytest.raises(RagopsError, match="told to fail"):
        _until(all_ended, [job])


def test_a_store_that_keeps_other_bytes_is_found_out(fakes: Any, repos: Repositories) -> None:
    class Lying(MemoryStore):
        def open_read(self, path: str) -> Any:
            if path.endswith("redis/two.zst"):
                self.files[path] = bytes(len(self.files[path]))
            return super().open_read(path)

    store = Lying()
    lying = open_repositories(repos.staging.parent)
    object.__setattr__(lying, "members", (Repository(store, "default"),))
    with pytest.raises(IntegrityError) as caught:
        take(platform_of(), lying)
    assert caught.value.code == "read_back_differs"
    assert "redis/two.zst" in caught.value.message
    assert store.files == {}


def test_a_full_repository_is_said_and_holds_nothing(fakes: Any, repos: Repositories) -> None:
    def full(path: str) -> None:
        if path.endswith("qdrant/one.zst"):
            raise MissingError("disk_full", "no space left")

    store = MemoryStore(on_write=full)
    object.__setattr__(repos, "members", (Repository(store, "default"),))
    with pytest.raises(MissingError) as caught:
        take(platform_of(), repos)
    assert caught.value.code == "disk_full"
    assert store.files == {}
    assert threads() == []


def test_an_engine_that_still_reads_ends_with_the_run(fakes: Any, repos: Repositories) -> None:
    """Storing has failed; the tool that reads meanwhile has copies of its own to remove."""
    reading, cleared = threading.Event(), threading.Event()

    def full(path: str) -> None:
        if path.endswith("one.zst"):
            assert reading.wait(20)
            raise MissingError("disk_full", "no space left")

    def at(step: str) -> None:
        if step == "read one":
            reading.set()
            try:
                cancellation.sleep(600)
            finally:
                threading.Event().wait(0.5)
                cleared.set()

    fakes["redis"].at = at
    object.__setattr__(repos, "members", (Repository(MemoryStore(on_write=full), "default"),))
    with pytest.raises(MissingError, match="no space left"):
        take(platform_of(["redis"]), repos)
    assert cleared.is_set()
    assert threads() == []


# --- interrupts ---------------------------------------------------------------------------------------------------

INTERRUPTED = """
    import sys, threading
    from pathlib import Path
    from tests.backup_helpers import take, open_repositories
    from tests.fake_engines import engines, platform_of, plugged
    from ragops.adapters import cancellation as interrupt
    from ragops.operations.backup.create import BackupRequest

    where, step = sys.argv[1:]
    found = engines({"redis": {"one": 200_000}})

    def at(what):
        if what == step:
            print("there", flush=True)
            interrupt.sleep(600)  # as engines wait for their servers and tools

    found["qdrant"].at = at
    with plugged(found):
        try:
            take(platform_of(), open_repositories(Path(where)), request=BackupRequest(jobs=2))
        except KeyboardInterrupt:
            print("interrupted", [item.name for item in threading.enumerate() if "ragops-" in item.name], flush=True)
            sys.exit(130)
"""


@pytest.mark.fault
@pytest.mark.campaign(sample=2)
@pytest.mark.parametrize("step", ["before", "begun", "dump one", "dump two", "read one", "read two"])
def test_an_interrupted_run_leaves_nothing_and_ends(repos: Repositories, step: str) -> None:
    with child(INTERRUPTED, repos, step) as process:
        assert process.stdout.readline() == "there\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "interrupted []\n"), err
    assert nothing_left(repos)
    assert repos.primary.list() == type(repos.primary.list())((), {})


@contextmanager
def child(code: str, repos: Repositories, *arguments: str) -> Iterator[Any]:
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", textwrap.dedent(code), str(repos.staging.parent), *arguments]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


DEAF = INTERRUPTED.replace("interrupt.sleep(600)", "threading.Event().wait(600)").replace(
    "from ragops.adapters import cancellation as interrupt\n",
    "from ragops.adapters import background\n    background._GRACE = 0.5\n",
)


@pytest.mark.fault
def test_a_thread_that_hears_nothing_does_not_keep_the_run_from_its_end(repos: Repositories) -> None:
    with child(DEAF, repos, "dump one") as process:
        assert process.stdout.readline() == "there\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in out
    assert repos.primary.list().points == ()
    with plugged(engines()):
        point = take(platform_of(), repos)
    assert {name.partition("/")[0] for name in files_of(folder_of(point).parent)} == {point.id}


@pytest.mark.fault
@pytest.mark.campaign(sample=1)
@pytest.mark.parametrize("step", ["begun", "dump two", "read two"])
def test_a_killed_run_leaves_nothing_visible_and_the_next_one_clears_it(repos: Repositories, step: str) -> None:
    with child(INTERRUPTED, repos, step) as process:
        assert process.stdout.readline() == "there\n"
        process.kill()
        process.communicate(timeout=60)
    assert repos.primary.list() == type(repos.primary.list())((), {})
    assert list(repos.staging.iterdir()), "else this test shows nothing"
    with plugged(engines()):
        point = take(platform_of(), repos)
    assert {name.partition("/")[0] for name in files_of(folder_of(point).parent)} == {point.id}
    assert list(repos.staging.iterdir()) == []


def test_a_run_after_an_interrupted_one_in_the_same_process_goes_well(fakes: Any, repos: Repositories) -> None:
    def at(step: str) -> None:
        if step == "dump one":
            os.kill(os.getpid(), signal.SIGINT)

    fakes["redis"].at = at
    with pytest.raises(KeyboardInterrupt):
        take(platform_of(), repos)
    assert nothing_left(repos)
    fakes["redis"].at = lambda _step: None
    take(platform_of(), repos).verify()


# --- copies -------------------------------------------------------------------------------------------------------


def test_copies_are_made_and_read_back(fakes: Any, tmp_path: Path) -> None:
    repos = open_repositories(tmp_path, tmp_path / "second", tmp_path / "third")
    result = create.run(platform_of(), repos, BackupRequest(keep=True))
    assert [(copy.repository, copy.error) for copy in result.copies] == [
        (str(tmp_path / "second"), None), (str(tmp_path / "third"), None),
    ]  # fmt: skip
    result.require_copies()
    for repository in repos.members:
        (point,) = repository.list().points
        point.verify()
        assert point.signed == result.point.signed
    assert [point.is_pinned for point in repos.primary.list().points] == [True]


def test_a_copy_that_did_not_happen_is_a_failure_and_the_others_are_there(fakes: Any, tmp_path: Path) -> None:
    repos = open_repositories(tmp_path, tmp_path / "file" / "x", tmp_path / "third")
    (tmp_path / "file").write_text("in the way")
    result = create.run(platform_of(), repos)
    assert [copy.error is None for copy in result.copies] == [False, True]
    with pytest.raises(RagopsError) as caught:
        result.require_copies()
    assert caught.value.code == "copy_failed"
    assert str(tmp_path / "file" / "x") in caught.value.message
    assert f"ragops backup copy {result.point.id}" in caught.value.hint
    result.point.verify()
    (tmp_path / "file").unlink()
    again = replicate.copy(repos, result.point, locker=LOCKER)
    assert [copy.error for copy in again] == [None, None]
    repos.members[1].get(result.point.id).verify()


def test_an_overview_says_where_each_is_whole(fakes: Any, tmp_path: Path) -> None:
    repos = open_repositories(tmp_path, tmp_path / "second")
    first, second = take(platform_of(), repos), take(platform_of(), repos.without_copies())
    stored(repos.copies[0].get(first.id), "redis/one").unlink()
    found = overview(repos)
    here, there = (repository.name for repository in repos.members)
    assert [(line.point.id, dict(line.whole), line.signer_known) for line in found.lines] == [
        (second.id, {here: True, there: None}, True), (first.id, {here: True, there: False}, True),
    ]  # fmt: skip
    assert (found.unreadable, found.unreachable) == ((), ())
    assert [line.point.id for line in overview(repos, "2").lines] == [first.id]


def test_an_overview_goes_on_without_a_repository_that_is_away(fakes: Any, tmp_path: Path) -> None:
    class Away(MemoryStore):
        def list_entries(self, prefix: str = "") -> Any:
            raise MissingError("repository_unreachable", "gone")

    repos = open_repositories(tmp_path)
    point = take(platform_of(), repos)
    away = Repository(Away("memory://away"), "default")
    object.__setattr__(repos, "members", (*repos.members, away))
    found = overview(repos)
    assert [line.point.id for line in found.lines] == [point.id]
    assert [(name, error.code) for name, error in found.unreachable] == [("memory://away", "repository_unreachable")]
    with pytest.raises(MissingError):
        overview(repos, "memory://away")


# --- verify -------------------------------------------------------------------------------------------------------


def test_deep_verify_lets_every_engine_read(fakes: Any, repos: Repositories) -> None:
    point = take(platform_of(), repos)
    assert not verify(None, repos).deep
    assert not any("verify" in step for engine in fakes.values() for step in engine.steps)
    found = verify(platform_of(), repos)
    assert (found.deep, found.point.id, found.extra_files) == (True, point.id, ())
    for engine in fakes.values():
        assert [step for step in engine.steps if "verify" in step] == ["verify one", "verify two"]
    assert files_of(repos.staging) == []


def test_checksums_need_no_identity_and_reading_does(fakes: Any, tmp_path: Path) -> None:
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    repos = open_repositories(tmp_path, recipients=(recipient,))
    take(platform_of(), repos)
    verify(None, repos)
    with pytest.raises(MissingError) as caught:
        verify(platform_of(), repos)
    assert caught.value.code == "identity_missing"


def test_another_signer_is_refused_until_it_is_pinned(fakes: Any, tmp_path: Path) -> None:
    repos = open_repositories(tmp_path)
    take(platform_of(), repos)
    key = repos.signing_key().public
    repos.signing_key_file.unlink()
    with pytest.raises(IntegrityError) as caught:
        verify(None, repos)
    assert caught.value.code == "signer_unknown"
    verify(None, open_repositories(tmp_path, verify_keys=(key,)))
