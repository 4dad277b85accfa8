"""Processes that convert: reused, limited, and replaced after a crash."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from ragops.ingest.documents.converted import UnreadableError
from ragops.ingest.documents.pool import Limits, Pool
from tests import document_files as files

if TYPE_CHECKING:
    from collections.abc import Iterator


def converters() -> set[int]:
    """The processes of this one that convert."""
    children = psutil.Process().children(recursive=True)
    return {one.pid for one in children if "ragops.ingest.documents.child" in " ".join(one.cmdline())}


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool()
    before = converters()
    yield made
    made.close()
    assert converters() <= before


def test_one_process_does_many_files_and_ends_with_the_pool(pool: Pool) -> None:
    before = converters()
    for number in range(5):
        assert pool.convert("csv", "a.csv", f"a,b\nx,{number}\n".encode()).text == f"a | b\na: x; b: {number}"
        with pytest.raises(UnreadableError, match="not JSON"):
            pool.convert("json", "a.json", b"{%d" % number)
        assert len(converters() - before) == 1
    first = converters() - before
    pool.close()
    assert not converters() & first


def test_a_process_is_used_again_though_the_one_that_starts_it_is_large(pool: Pool) -> None:
    """Linux passes the highest memory of a process on to what it starts, across `exec`."""
    large = bytearray(600 << 20)
    large[:: 4 << 10] = b"x" * len(large[:: 4 << 10])  # every page of it
    before = converters()
    for number in range(2):
        pool.convert("csv", "a.csv", f"a,b\nx,{number}\n".encode())
    assert len(converters() - before) == 1
    del large


def test_a_crash_costs_its_file_only(pool: Pool) -> None:
    with pytest.raises(UnreadableError, match=r"crashed \(SIGABRT\): damaged, or it needs more than 1536 MiB"):
        pool.convert("sheets", "far.xlsx", files.far_cell())
    assert "otter" in pool.convert("sheets", "a.xlsx", files.sheets({"a": [["otter", 1]]})).text


def test_a_file_that_was_refused_is_not_tried_twice(pool: Pool) -> None:
    before = converters()  # those of other pools
    reasons = []
    for _ in range(2):
        with pytest.raises(UnreadableError) as caught:
            pool.convert("sheets", "far.xlsx", files.far_cell())
        reasons.append(str(caught.value))
        processes = converters()
    assert reasons[0] == reasons[1]
    assert processes <= before  # the second time none was started


# Their cost grows with the square of the attributes, and to fifty times the size of the file.
SLOW = ("html", b"<p " + b" ".join(b"a%d=1" % number for number in range(60_000)) + b">")
LARGE = ("json", b"[" + b",".join([b'{"a":1}'] * 1_500_000) + b"]")


@pytest.mark.parametrize(
    ("limits", "file", "reason", "is_lasting"),
    [
        (Limits(processor_seconds=1), SLOW, "more than 1 s of processor time", True),
        (Limits(seconds=0.5), SLOW, "takes longer than 0 s", False),
        (Limits(memory=300 << 20), LARGE, r"more than \d+ MiB of memory", True),
        (Limits(text=1000), ("csv", b"word\n" * 1000), "more than 0 MiB of text", True),
    ],
    ids=["processor", "waiting", "memory", "text"],
)
def test_every_limit_is_held_and_named(limits: Limits, file: tuple[str, bytes], reason: str, is_lasting: bool) -> None:
    pool = Pool(limits)
    with pytest.raises(UnreadableError, match=reason) as caught:
        pool.convert(file[0], "a." + file[0], file[1])
    assert caught.value.is_lasting is is_lasting
    pool.close()


def test_a_pdf_that_unpacks_without_end_is_ended(pool: Pool) -> None:
    with pytest.raises(UnreadableError, match=r"it needs more than|no text"):
        pool.convert("pdf", "endless.pdf", files.endless_pdf())


def test_several_threads_convert_at_once(pool: Pool) -> None:
    found: list[str] = []

    def work(number: int) -> None:
        found.append(pool.convert("csv", "a.csv", f"a,b\nx,{number}\n".encode()).text)

    threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(found) == [f"a | b\na: x; b: {number}" for number in range(8)]


def test_a_fork_has_processes_of_its_own(pool: Pool) -> None:
    pool.convert("csv", "a.csv", b"a,b\nx,1\n")
    child = os.fork()
    if not child:
        try:
            text = pool.convert("csv", "a.csv", b"a,b\nx,2\n").text
            pool.close()
            os._exit(0 if text.endswith("b: 2") else 1)
        except BaseException:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert pool.convert("csv", "a.csv", b"a,b\nx,3\n").text.endswith("b: 3")


def test_the_end_of_a_run_ends_a_conversion_in_the_middle(pool: Pool) -> None:
    reasons: list[UnreadableError] = []

    def work() -> None:
        try:
            pool.convert(*SLOW[:1], "a.html", SLOW[1])
        except UnreadableError as error:
            reasons.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not pool._busy:
        thread.join(0.01)
    pool.close()
    thread.join(30)
    assert [(str(one), one.is_lasting) for one in reasons] == [("the run ended before it was converted", False)]


def test_a_converter_connects_to_nothing_and_starts_nothing() -> None:
    from ragops.ingest.documents.child import _refuse

    for event in ("socket.connect", "subprocess.Popen", "os.system", "os.posix_spawn"):
        with pytest.raises(PermissionError):
            _refuse(event, ())
    _refuse("open", ())
