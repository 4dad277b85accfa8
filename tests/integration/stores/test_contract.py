"""What every store must do, asked of each kind alike."""

from __future__ import annotations

import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.background import BackgroundTask
from ragops.errors import LockedError, RagopsError, StoreMissingError
from ragops.recovery.lock import Timing, hold_lock

if TYPE_CHECKING:
    from ragops.adapters.storage import Store

pytestmark = pytest.mark.servers

MIB = 1 << 20


def put(store: Store, path: str, content: bytes) -> None:
    with store.open_write(path) as stream:
        stream.write(content)


def get(store: Store, path: str) -> bytes:
    with store.open_read(path) as stream:
        return stream.read()


def paths(store: Store, prefix: str = "") -> list[str]:
    return [entry.path for entry in store.list_entries(prefix)]


class Stop(Exception):
    """Something that goes wrong while a file is written, and is not about the store."""


def test_what_is_written_is_read(place: Any) -> None:
    put(place.open(), "prod/20260101T000000Z-abcdef/manifest.json", b"whole")
    assert get(place.open(), "prod/20260101T000000Z-abcdef/manifest.json") == b"whole"


def test_an_empty_file_is_a_file(place: Any) -> None:
    put(place.open(), "prod/empty", b"")
    assert get(place.open(), "prod/empty") == b""
    assert [(entry.path, entry.size) for entry in place.open().list_entries()] == [("prod/empty", 0)]


@pytest.mark.parametrize("size", [8 * MIB - 1, 8 * MIB, 16 * MIB, 17 * MIB + 3])
def test_sizes_around_the_parts_of_an_upload(place: Any, size: int) -> None:
    content = random.Random(size).randbytes(size)
    store = place.open()
    with store.open_write("prod/part") as stream:
        for start in range(0, size, 300_000):
            stream.write(content[start : start + 300_000])
    assert [entry.size for entry in store.list_entries("prod")] == [size]
    assert hashlib.sha256(get(store, "prod/part")).digest() == hashlib.sha256(content).digest()


def test_reading_in_pieces_gives_each_byte_once(place: Any) -> None:
    content = random.Random(1).randbytes(9 * MIB + 17)
    store = place.open()
    put(store, "prod/part", content)
    with store.open_read("prod/part") as stream:
        pieces = list(iter(lambda: stream.read(100_001), b""))
    assert b"".join(pieces) == content


@pytest.mark.parametrize("size", [10, 20 * MIB])
def test_a_block_that_fails_leaves_nothing(place: Any, size: int) -> None:
    store = place.open()
    with pytest.raises(Stop), store.open_write("prod/part") as stream:
        stream.write(b"x" * size)
        raise Stop
    assert paths(place.open()) == []
    with pytest.raises(StoreMissingError):
        get(place.open(), "prod/part")


@pytest.mark.parametrize("size", [10, 20 * MIB])
def test_a_block_that_fails_leaves_what_was_there(place: Any, size: int) -> None:
    store = place.open()
    put(store, "prod/part", b"before")
    with pytest.raises(Stop), store.open_write("prod/part") as stream:
        stream.write(b"x" * size)
        raise Stop
    assert get(place.open(), "prod/part") == b"before"


def test_nobody_sees_a_file_before_it_is_whole(place: Any) -> None:
    store = place.open()
    with store.open_write("prod/part") as stream:
        stream.write(b"x" * 9 * MIB)
        assert paths(place.open()) == []
        assert place.open().read_all(["prod/part"]) == {}
    assert paths(place.open()) == ["prod/part"]


def test_a_file_is_replaced_and_its_mark_says_so(place: Any) -> None:
    store = place.open()
    put(store, "prod/part", b"before")
    before = store.list_entries("prod")
    put(store, "prod/part", b"afterwards")
    assert get(store, "prod/part") == b"afterwards"
    after = store.list_entries("prod")
    assert after[0].etag != before[0].etag
    assert store.list_entries("prod") == after


def test_a_writer_that_closes_the_stream_has_written_it(place: Any) -> None:
    store = place.open()
    with store.open_write("prod/part") as stream:
        stream.write(b"closed by a compressor")
        stream.close()
    assert get(store, "prod/part") == b"closed by a compressor"


def test_threads_write_large_files_at_once(place: Any) -> None:
    store = place.open()
    contents = {f"prod/id/part-{number}": random.Random(number).randbytes(20 * MIB) for number in range(3)}
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda item: put(store, *item), contents.items()))
    with ThreadPoolExecutor(3) as pool:
        read = dict(zip(contents, pool.map(lambda path: get(store, path), contents), strict=True))
    assert read == contents


def test_listing_is_in_order_and_below_the_folder_alone(place: Any) -> None:
    store = place.open()
    for path in ("prod/b/2", "prod/a/1", "prod/b/1", "production/x", "prod-2"):
        put(store, path, b"1")
    assert paths(store) == sorted(["prod/b/2", "prod/a/1", "prod/b/1", "production/x", "prod-2"])
    assert paths(store, "prod") == ["prod/a/1", "prod/b/1", "prod/b/2"]
    assert paths(store, "prod/b") == ["prod/b/1", "prod/b/2"]
    assert paths(store, "nothing") == []


def test_a_store_that_was_never_written_is_empty(place: Any) -> None:
    assert place.open().list_entries() == []
    assert place.open().read_all(["prod/part"]) == {}
    place.open().remove(["prod/part"])


def test_many_small_files_at_once_without_those_that_are_missing(place: Any) -> None:
    store = place.open()
    wanted = {f"prod/{number}/manifest.json": str(number).encode() for number in range(30)}
    for path, content in wanted.items():
        put(store, path, content)
    assert store.read_all([*wanted, "prod/none/manifest.json"]) == wanted
    assert store.read_all([]) == {}


def test_what_is_removed_is_gone_and_may_be_removed_again(place: Any) -> None:
    store = place.open()
    for path in ("prod/a/1", "prod/a/2", "prod/b/1"):
        put(store, path, b"1")
    store.remove(["prod/a/1", "prod/a/2", "prod/none"])
    store.remove(["prod/a/1"])
    assert paths(store) == ["prod/b/1"]
    put(store, "prod/a/1", b"again")  # its folder may be gone by now
    assert get(store, "prod/a/1") == b"again"


def test_files_come_and_go_in_one_folder_at_once(place: Any) -> None:
    if place.kind == "s3":
        pytest.skip("S3 has no folders; those of the server here, on a disk, may hang where they come and go at once")
    rounds = 500 if place.kind == "folder" else 20  # a folder that goes between two calls of ours is rare

    def come_and_go(number: int) -> None:
        store = place.open()
        for _ in range(rounds):
            put(store, f"prod/locks/{number}", b"1")
            store.remove([f"prod/locks/{number}"])

    for job in [BackgroundTask(partial(come_and_go, number)) for number in range(4)]:
        job.result()
    assert paths(place.open()) == []


def test_a_missing_file_is_told_so(place: Any) -> None:
    store = place.open()
    put(store, "prod/here", b"1")
    with pytest.raises(StoreMissingError) as caught:
        get(store, "prod/away")
    assert "prod/away" in caught.value.message


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a//b", "a/./b", "", "a/.partial-1/b", "a/"])
def test_no_path_leads_out(place: Any, path: str) -> None:
    with pytest.raises(RagopsError) as caught:
        put(place.open(), path, b"1")
    assert caught.value.code == "repository_error"
    with pytest.raises(RagopsError):
        get(place.open(), path)
    with pytest.raises(RagopsError):
        place.open().remove([path])


def test_an_error_of_the_block_is_told_as_it_is(place: Any) -> None:
    with pytest.raises(OSError, match="of the database"), place.open().open_write("prod/part"):
        raise OSError("of the database")


def test_leftovers_are_cleared_and_nothing_else(place: Any) -> None:
    store = place.open()
    put(store, "prod/part", b"1")
    with store.open_write("prod/other") as stream:
        stream.write(b"2")
        place.open().clear_leftovers()
    assert paths(store) == ["prod/other", "prod/part"]


def test_the_lock_of_a_repository_works_here(place: Any, wait_until: Any) -> None:
    timing = Timing(heartbeat=0.05, poll=0.02)
    with hold_lock(place.open(), "prod", "ragops backup run", 0, print, timing) as held:
        before = place.open().read_all([held.path])
        with (
            pytest.raises(LockedError, match="ragops backup run"),
            hold_lock(place.open(), "prod", "x", 0, print, timing),
        ):
            pass
        wait_until(lambda: place.open().read_all([held.path]) not in ({}, before))
        held.check()
    assert paths(place.open()) == []


def test_folders_are_those_directly_below(place: Any) -> None:
    for path in ("a/b/one", "a/c/two", "a/three", "d/four"):
        put(place.open(), path, b"x")
    assert place.open().list_folders("a") == ["b", "c"]
    assert {"a", "d"} <= set(place.open().list_folders())
    assert place.open().list_folders("nosuch") == []
