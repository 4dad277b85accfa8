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
    stored,
    take,
    unpack,
    vault_of,
)
from tests.fake_engines import ORDER, FakeEngine, Meeting, Output, engines, platform_of, plugged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.adapters.progress import Progress
    from ragops.recovery.backup_target import BackupTarget

pytestmark = pytest.mark.timeout(120)
LOCKER = LockRequest("the tests")


def threads() -> list[str]:
    names = [item.name for item in threading.enumerate() if item.name.startswith("ragops-")]
    return [name for name in names if name != "ragops-spawn"]  # it starts tools, and stays for the next one


# --- what is taken ------------------------------------------------------------------------------------------------


def test_every_part_of_every_service_in_order(fakes: Any, vault: BackupTarget, tmp_path: Path) -> None:
    point = take(platform_of(), vault)
    assert [part.path for part in point.manifest.parts] == [
        f"{name}/{part}" for name in ORDER for part in ("one", "two")
    ]
    for service in ORDER:
        folder = unpack(vault, point, service, tmp_path / "plain" / service)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == fakes[service].live
    assert point.manifest.parts[0].counts == {"one.bytes": 16000}
    assert point.manifest.parts[0].versions == {"fake": "1.0"}
    assert point.manifest.sequence == 1
    assert point.find_faults() == ()
    assert point.signed.signature.key == vault.signing_key().public
    assert files_of(vault.staging) == []
    assert threads() == []
    assert take(platform_of(), vault).manifest.sequence == 2


def test_what_is_asked_for_and_no_more(fakes: Any, vault: BackupTarget) -> None:
    point = take(platform_of(), vault, request=BackupRequest(Kind.SAFETY, ("redis",)))
    assert {part.service for part in point.manifest.parts} == {"redis"}
    assert point.manifest.kind is Kind.SAFETY
    assert fakes["qdrant"].steps == []
    with pytest.raises(MissingError):
        take(platform_of(["redis"]), vault, request=BackupRequest(services=("qdrant",)))


def test_files_of_the_project_and_no_secrets_where_it_is_not_encrypted(
    fakes: Any, vault: BackupTarget, tmp_path: Path
) -> None:
    config, secret = tmp_path / "ragops.yaml", tmp_path / "secrets.json"
    config.write_text("name: p\n")
    secret.write_text("hunter2")
    platform = platform_of(files={"ragops.yaml": config}, sealed={"secrets.json": secret}, images={"redis": "sha256:1"})
    point = take(platform, vault)
    assert [part.path for part in point.manifest.parts_of("platform")] == ["platform/ragops.yaml"]
    assert (unpack(vault, point, "platform", tmp_path / "plain") / "ragops.yaml").read_text() == "name: p\n"
    assert point.manifest.images == {"redis": "sha256:1"}
    assert not point.manifest.is_encrypted


def test_secrets_only_where_it_is_encrypted(fakes: Any, tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "identity").write_text(f"{identity}\n")
    vault = vault_of(tmp_path, recipients=(str(identity.to_public()),), identity_file=tmp_path / "identity")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "a.pem").write_text("hunter2")
    (tmp_path / "secrets.json").write_text("hunter2")
    sealed = {"secrets.json": tmp_path / "secrets.json", "gateway": tmp_path / "keys", "gone": tmp_path / "nosuch"}
    point = take(platform_of(sealed=sealed), vault)
    assert point.manifest.recipients == (str(identity.to_public()),)
    (part,) = point.manifest.parts_of("platform")
    assert (part.path, part.counts) == ("platform/sealed.tar", {"files": 2})
    for item in point.manifest.parts:
        content = stored(point, item.path).read_bytes()
        assert item.stored.file.endswith(".zst.age")
        assert content.startswith(b"age-encryption.org/v1")
        assert b"hunter2" not in content
    folder = unpack(vault, point, "platform", tmp_path / "plain")
    with tarfile.open(folder / "sealed.tar") as archive:
        assert {member.name for member in archive if member.isfile()} == {"secrets.json", "gateway/a.pem"}
    assert files_of(vault.staging) == []


def test_progress_ends_with_one_last_word_on_each_part(fakes: Any, vault: BackupTarget) -> None:
    said: list[Progress] = []
    point = take(platform_of(), vault, on_progress=said.append)
    assert sorted(item.resource for item in said if item.final) == sorted(part.path for part in point.manifest.parts)
    for part in point.manifest.parts:
        mine = [item for item in said if item.resource == part.path and item.total]
        assert mine[-1].final
        assert {item.total for item in mine} == {part.size}
        assert [item.done for item in mine] == sorted(item.done for item in mine)


# --- order and company --------------------------------------------------------------------------------------------


def test_parts_of_several_services_are_taken_side_by_side(fakes: Any, vault: BackupTarget) -> None:
    """One part of each of three services has to be at work at once, or none goes on."""
    meeting, met = Meeting(3), set()

    def at(service: str, step: str) -> None:
        if step == "dump one":
            meeting()
            met.add(service)

    for service, engine in fakes.items():
        engine.at = lambda step, service=service: at(service, step)
    take(platform_of(), vault, request=BackupRequest(jobs=3))
    assert met == set(ORDER)


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_more_parts_at_once_than_asked_for(fakes: Any, vault: BackupTarget, jobs: int) -> None:
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
    take(platform_of(), vault, request=BackupRequest(jobs=jobs))
    assert most == jobs


def test_a_service_begins_when_the_instant_of_the_one_before_is_fixed(fakes: Any, vault: BackupTarget) -> None:
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
    point = take(platform_of(), vault)
    assert order == ["timescaledb", "redis", "qdrant"]
    assert redis_began.is_set()
    instants = [point.manifest.parts_of(service)[0].instant for service in ORDER]
    assert instants == sorted(instants)


def test_writers_are_let_go_when_all_instants_are_fixed_and_before_the_parts_are_taken(
    fakes: Any, vault: BackupTarget
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
    point = take(platform_of(), vault, held=held())
    assert released.is_set()
    assert set(fixed) == set(ORDER)
    assert point.manifest.quiesced == Held.instant


def test_an_engine_reads_a_part_while_it_is_stored(fakes: Any, vault: BackupTarget) -> None:
    """The engine's reading does not end before we have told how far storing is."""
    storing = threading.Event()

    def at(step: str) -> None:
        if step == "read one":
            assert storing.wait(20)

    fakes["redis"].at = at

    def on_progress(progress: Progress) -> None:
        if progress.resource == "redis/one" and progress.text == "storing":
            storing.set()

    take(platform_of(["redis"]), vault, on_progress=on_progress)


# --- parts that are stored while they are written -----------------------------------------------------------------


@pytest.fixture
def growing() -> Iterator[FakeEngine]:
    """Redis alone, with one part of 4 MB that tells when half of it is stored."""
    found = engines({"redis": {"grown": 300_000}})
    with plugged({"redis": found["redis"]}):
        yield found["redis"]


def test_a_part_is_stored_while_it_is_written(growing: FakeEngine, vault: BackupTarget, tmp_path: Path) -> None:
    """Its second half is not written before its first has been stored."""
    storing = threading.Event()
    growing.at = lambda step: _require(storing.wait(20)) if step == "half grown" else None
    point = take(
        platform_of(["redis"]),
        vault,
        on_progress=lambda progress: storing.set() if progress.text == "storing" and progress.done else None,
    )
    assert (unpack(vault, point, "redis", tmp_path / "plain") / "grown").read_bytes() == growing.live["grown"]
    assert point.manifest.parts[0].size == len(growing.live["grown"])
    assert files_of(vault.staging) == []
    assert threads() == []


def test_what_is_stored_is_what_is_read_meanwhile(growing: FakeEngine, vault: BackupTarget) -> None:
    """A checker gets the very bytes that are stored, and their end."""
    blocks: list[bytes] = []

    def dump_one(writer: Any, name: str, instant: datetime) -> None:
        part = Part(name, instant, {}, {"fake": "1.0"})
        writer.store(name, Output(growing.live[name]), lambda: part, blocks.append)

    growing._dump_one = dump_one  # type: ignore[method-assign]
    point = take(platform_of(["redis"]), vault)
    assert b"".join(blocks) == growing.live["grown"]
    assert blocks[-1] == b""
    assert all(blocks[:-1])
    assert len(blocks) > 2
    assert point.manifest.parts[0].sha256 == hashlib.sha256(growing.live["grown"]).hexdigest()


@pytest.mark.parametrize("stated", [hashlib.sha256(b"as it was").hexdigest(), "0" * 64])
def test_a_checksum_that_the_engine_states_is_compared_with_what_is_stored(
    growing: FakeEngine, vault: BackupTarget, stated: str
) -> None:
    def dump_one(writer: Any, name: str, instant: datetime) -> None:
        part = Part(name, instant, {}, {"fake": "1.0"})
        writer.store(name, Output(b"as it was"), lambda: part, sha256=stated)

    growing._dump_one = dump_one  # type: ignore[method-assign]
    if stated.startswith("0"):
        with pytest.raises(IntegrityError) as found:
            take(platform_of(["redis"]), vault)
        assert found.value.code == "part_damaged"
        assert nothing_left(vault)
    else:
        assert take(platform_of(["redis"]), vault).manifest.parts[0].sha256 == stated


def test_an_engine_that_fails_in_the_middle_leaves_nothing_and_says_why(
    growing: FakeEngine, vault: BackupTarget
) -> None:
    def at(step: str) -> None:
        if step == "half grown":
            raise RagopsError("told_to", "told to fail")

    growing.at = at
    with pytest.raises(RagopsError) as found:
        take(platform_of(["redis"]), vault)
    assert found.value.code == "told_to"
    assert nothing_left(vault)
    assert threads() == []


def test_a_check_that_fails_early_ends_the_dump(growing: FakeEngine, vault: BackupTarget) -> None:
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
        take(platform_of(["redis"]), vault)
    assert rest[-1] > 0
    assert nothing_left(vault)


def test_the_same_part_may_be_begun_again(growing: FakeEngine, vault: BackupTarget, tmp_path: Path) -> None:
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
    point = take(platform_of(["redis"]), vault)
    assert (unpack(vault, point, "redis", tmp_path / "plain") / "grown").read_bytes() == growing.live["grown"]


def test_a_repository_that_fails_meanwhile_is_the_failure(growing: FakeEngine, vault: BackupTarget) -> None:
    broken = RagopsError("disk_full", "no space left")
    store = vault.primary.store
    writing = store.open_write

    @contextmanager
    def failing(path: str) -> Iterator[Any]:
        with writing(path) as stream:
            if path.endswith("grown.zst"):
                raise broken
            yield stream

    store.open_write = failing  # type: ignore[method-assign]
    with pytest.raises(RagopsError) as found:
        take(platform_of(["redis"]), vault)
    assert found.value is broken
    assert nothing_left(vault)


def _lose() -> None:
    raise ConnectionError


def _require(condition: bool) -> None:
    assert condition


# --- all or nothing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ORDER)
@pytest.mark.parametrize("step", ["before", "begun", "dump one", "dump two", "read one", "read two"])
def test_what_fails_anywhere_leaves_nothing(fakes: Any, vault: BackupTarget, service: str, step: str) -> None:
    def at(found: str) -> None:
        if found == step:
            raise RagopsError("told_to", "told to fail")

    fakes[service].at = at
    with pytest.raises(RagopsError) as caught:
        take(platform_of(), vault)
    assert caught.value.code == "told_to"
    assert nothing_left(vault)
    assert vault.primary.list().points == ()
    assert threads() == []
    fakes[service].at = lambda _step: None
    assert take(platform_of(), vault).manifest.sequence == 1, "the next run goes well"


@pytest.mark.parametrize("failing", ORDER)
def test_what_others_were_doing_is_over_when_a_failure_is_told(fakes: Any, vault: BackupTarget, failing: str) -> None:
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
        take(platform_of(), vault, request=BackupRequest(jobs=3))
    assert threads() == []
    assert nothing_left(vault)


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


def test_a_store_that_keeps_other_bytes_is_found_out(fakes: Any, vault: BackupTarget) -> None:
    class Lying(MemoryStore):
        def open_read(self, path: str) -> Any:
            if path.endswith("redis/two.zst"):
                self.files[path] = bytes(len(self.files[path]))
            return super().open_read(path)

    store = Lying()
    lying = vault_of(vault.staging.parent)
    object.__setattr__(lying, "repositories", (Repository(store, "default"),))
    with pytest.raises(IntegrityError) as caught:
        take(platform_of(), lying)
    assert caught.value.code == "read_back_differs"
    assert "redis/two.zst" in caught.value.message
    assert store.files == {}


def test_a_full_repository_is_said_and_holds_nothing(fakes: Any, vault: BackupTarget) -> None:
    def full(path: str) -> None:
        if path.endswith("qdrant/one.zst"):
            raise MissingError("disk_full", "no space left")

    store = MemoryStore(on_write=full)
    object.__setattr__(vault, "repositories", (Repository(store, "default"),))
    with pytest.raises(MissingError) as caught:
        take(platform_of(), vault)
    assert caught.value.code == "disk_full"
    assert store.files == {}
    assert threads() == []


def test_an_engine_that_still_reads_ends_with_the_run(fakes: Any, vault: BackupTarget) -> None:
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
    object.__setattr__(vault, "repositories", (Repository(MemoryStore(on_write=full), "default"),))
    with pytest.raises(MissingError, match="no space left"):
        take(platform_of(["redis"]), vault)
    assert cleared.is_set()
    assert threads() == []


# --- interrupts ---------------------------------------------------------------------------------------------------

INTERRUPTED = """
    import sys, threading
    from pathlib import Path
    from tests.backup_helpers import take, vault_of
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
            take(platform_of(), vault_of(Path(where)), request=BackupRequest(jobs=2))
        except KeyboardInterrupt:
            print("interrupted", [item.name for item in threading.enumerate() if "ragops-" in item.name], flush=True)
            sys.exit(130)
"""


@pytest.mark.fault
@pytest.mark.parametrize("step", ["before", "begun", "dump one", "dump two", "read one", "read two"])
def test_an_interrupted_run_leaves_nothing_and_ends(vault: BackupTarget, step: str) -> None:
    with child(INTERRUPTED, vault, step) as process:
        assert process.stdout.readline() == "there\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "interrupted []\n"), err
    assert nothing_left(vault)
    assert vault.primary.list() == type(vault.primary.list())((), {})


@contextmanager
def child(code: str, vault: BackupTarget, *arguments: str) -> Iterator[Any]:
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", textwrap.dedent(code), str(vault.staging.parent), *arguments]
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
def test_a_thread_that_hears_nothing_does_not_keep_the_run_from_its_end(vault: BackupTarget) -> None:
    with child(DEAF, vault, "dump one") as process:
        assert process.stdout.readline() == "there\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in out
    assert vault.primary.list().points == ()
    with plugged(engines()):
        point = take(platform_of(), vault)
    assert {name.partition("/")[0] for name in files_of(folder_of(point).parent)} == {point.id}


@pytest.mark.fault
@pytest.mark.parametrize("step", ["begun", "dump two", "read two"])
def test_a_killed_run_leaves_nothing_visible_and_the_next_one_clears_it(vault: BackupTarget, step: str) -> None:
    with child(INTERRUPTED, vault, step) as process:
        assert process.stdout.readline() == "there\n"
        process.kill()
        process.communicate(timeout=60)
    assert vault.primary.list() == type(vault.primary.list())((), {})
    assert list(vault.staging.iterdir()), "else this test shows nothing"
    with plugged(engines()):
        point = take(platform_of(), vault)
    assert {name.partition("/")[0] for name in files_of(folder_of(point).parent)} == {point.id}
    assert list(vault.staging.iterdir()) == []


def test_a_run_after_an_interrupted_one_in_the_same_process_goes_well(fakes: Any, vault: BackupTarget) -> None:
    def at(step: str) -> None:
        if step == "dump one":
            os.kill(os.getpid(), signal.SIGINT)

    fakes["redis"].at = at
    with pytest.raises(KeyboardInterrupt):
        take(platform_of(), vault)
    assert nothing_left(vault)
    fakes["redis"].at = lambda _step: None
    take(platform_of(), vault).verify()


# --- copies -------------------------------------------------------------------------------------------------------


def test_copies_are_made_and_read_back(fakes: Any, tmp_path: Path) -> None:
    vault = vault_of(tmp_path, tmp_path / "second", tmp_path / "third")
    result = create.run(platform_of(), vault, BackupRequest(keep=True))
    assert [(copy.repository, copy.error) for copy in result.copies] == [
        (str(tmp_path / "second"), None), (str(tmp_path / "third"), None),
    ]  # fmt: skip
    result.require_copies()
    for repository in vault.repositories:
        (point,) = repository.list().points
        point.verify()
        assert point.signed == result.point.signed
    assert [point.is_pinned for point in vault.primary.list().points] == [True]


def test_a_copy_that_did_not_happen_is_a_failure_and_the_others_are_there(fakes: Any, tmp_path: Path) -> None:
    vault = vault_of(tmp_path, tmp_path / "file" / "x", tmp_path / "third")
    (tmp_path / "file").write_text("in the way")
    result = create.run(platform_of(), vault)
    assert [copy.error is None for copy in result.copies] == [False, True]
    with pytest.raises(RagopsError) as caught:
        result.require_copies()
    assert caught.value.code == "copy_failed"
    assert str(tmp_path / "file" / "x") in caught.value.message
    assert f"ragops backup copy {result.point.id}" in caught.value.hint
    result.point.verify()
    (tmp_path / "file").unlink()
    again = replicate.copy(vault, result.point, locker=LOCKER)
    assert [copy.error for copy in again] == [None, None]
    vault.repositories[1].get(result.point.id).verify()


def test_an_overview_says_where_each_is_whole(fakes: Any, tmp_path: Path) -> None:
    vault = vault_of(tmp_path, tmp_path / "second")
    first, second = take(platform_of(), vault), take(platform_of(), vault.without_copies())
    stored(vault.copies[0].get(first.id), "redis/one").unlink()
    found = overview(vault)
    here, there = (repository.name for repository in vault.repositories)
    assert [(line.point.id, dict(line.whole), line.signer_known) for line in found.lines] == [
        (second.id, {here: True, there: None}, True), (first.id, {here: True, there: False}, True),
    ]  # fmt: skip
    assert (found.unreadable, found.unreachable) == ((), ())
    assert [line.point.id for line in overview(vault, "2").lines] == [first.id]


def test_an_overview_goes_on_without_a_repository_that_is_away(fakes: Any, tmp_path: Path) -> None:
    class Away(MemoryStore):
        def list_entries(self, prefix: str = "") -> Any:
            raise MissingError("repository_unreachable", "gone")

    vault = vault_of(tmp_path)
    point = take(platform_of(), vault)
    away = Repository(Away("memory://away"), "default")
    object.__setattr__(vault, "repositories", (*vault.repositories, away))
    found = overview(vault)
    assert [line.point.id for line in found.lines] == [point.id]
    assert [(name, error.code) for name, error in found.unreachable] == [("memory://away", "repository_unreachable")]
    with pytest.raises(MissingError):
        overview(vault, "memory://away")


# --- verify -------------------------------------------------------------------------------------------------------


def test_deep_verify_lets_every_engine_read(fakes: Any, vault: BackupTarget) -> None:
    point = take(platform_of(), vault)
    assert not verify(None, vault).deep
    assert not any("verify" in step for engine in fakes.values() for step in engine.steps)
    found = verify(platform_of(), vault)
    assert (found.deep, found.point.id, found.extra_files) == (True, point.id, ())
    for engine in fakes.values():
        assert [step for step in engine.steps if "verify" in step] == ["verify one", "verify two"]
    assert files_of(vault.staging) == []


def test_checksums_need_no_identity_and_reading_does(fakes: Any, tmp_path: Path) -> None:
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    vault = vault_of(tmp_path, recipients=(recipient,))
    take(platform_of(), vault)
    verify(None, vault)
    with pytest.raises(MissingError) as caught:
        verify(platform_of(), vault)
    assert caught.value.code == "identity_missing"


def test_another_signer_is_refused_until_it_is_pinned(fakes: Any, tmp_path: Path) -> None:
    vault = vault_of(tmp_path)
    take(platform_of(), vault)
    key = vault.signing_key().public
    vault.signing_key_file.unlink()
    with pytest.raises(IntegrityError) as caught:
        verify(None, vault)
    assert caught.value.code == "signer_unknown"
    verify(None, vault_of(tmp_path, verify_keys=(key,)))
