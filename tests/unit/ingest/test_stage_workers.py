"""The threads between files and the vector store: order, bounds, failures, and their end."""

from __future__ import annotations

import threading
import time
import tracemalloc
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ragops.embedding.hashing import HashingEmbedder
from ragops.errors import UnhealthyError
from ragops.ingest.progress import StageTimes
from ragops.ingest.split import Splitter
from ragops.ingest.stage_workers import _BATCHES, Group, StageWorkers, Steps, Work
from ragops.ingest.vectors import PointsRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = 12


class Store:
    """Keeps ids in the order of their requests; `fail` is raised, `gate` is waited for."""

    def __init__(self) -> None:
        self.ids: list[Any] = []
        self.fail: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def upsert(self, _collection: str, points: list[Any]) -> None:
        assert self.gate.wait(30)
        if self.fail:
            raise self.fail
        self.ids += [point.id for point in points]


@pytest.fixture
def store() -> Store:
    return Store()


class Counting(HashingEmbedder):
    """Counts its batches."""

    batches = 0

    def embed(self, texts: Any) -> Any:
        self.batches += 1
        return super().embed(texts)


@pytest.fixture
def embedder() -> Counting:
    return Counting(8)


@pytest.fixture
def steps(tmp_path: Path, store: Store, embedder: Counting) -> Steps:
    for number in range(FILES):
        (tmp_path / f"{number}.txt").write_text(" ".join(f"word{number}x{place}" for place in range(4000)))
    collection: Any = SimpleNamespace(name="docs", points="docs")
    return Steps(store, embedder, Splitter(100, 0), collection, tmp_path, StageTimes())  # type: ignore[arg-type]


def group(*numbers: int) -> Group:
    works = []
    for number in numbers:
        seen = SimpleNamespace(path=f"{number}.txt", modified=None)
        works.append(Work(number, SimpleNamespace(seen=seen)))  # type: ignore[arg-type]
    return Group(works)


@pytest.fixture
def threads() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "ragops-ingest"]


def test_batches_come_out_in_order_and_all_are_stored(steps: Steps, store: Store, threads: None) -> None:
    groups = [group(0, 1, 2), group(3), group(*range(4, FILES))]
    with StageWorkers(steps) as flow:
        for one in groups:
            flow.submit(one)
        found = [[chunk for batch in flow.finished(one) for chunk in batch.stored] for one in groups]
    assert [chunk.document_id for chunks in found for chunk in chunks] == sorted(
        chunk.document_id for chunks in found for chunk in chunks
    )
    ids = [chunk.id for chunks in found for chunk in chunks]
    assert len(ids) > 4000
    assert sorted(ids) == sorted(store.ids)
    assert all(work.read for one in groups for work in one.works)


def test_only_so_many_batches_are_on_their_way(steps: Steps, store: Store, embedder: Counting, threads: None) -> None:
    everything = group(*range(FILES))
    store.gate.clear()
    with StageWorkers(steps) as flow:
        flow.submit(everything)
        store.gate.set()
        batches = flow.finished(everything)
        next(batches)
        deadline = threading.Event()
        while embedder.batches < _BATCHES and not deadline.wait(0.01):
            pass
        deadline.wait(0.2)
        assert embedder.batches <= _BATCHES + 1  # one was taken, no more are read than have room
        assert sum(1 for _ in batches) > 2 * _BATCHES


@pytest.mark.parametrize("error", [UnhealthyError("x", "away"), PointsRefusedError("x", "no")])
def test_a_failure_comes_out_and_nothing_of_its_group_is_left(
    steps: Steps, store: Store, error: Exception, threads: None
) -> None:
    first, second = group(0, 1, 2, 3), group(4)
    store.fail = error
    with StageWorkers(steps) as flow:
        flow.submit(first)
        flow.submit(second)
        with pytest.raises(type(error)):
            list(flow.finished(first))
        store.fail = None
        flow.abandon(first)
        assert len(set(first.begun)) == len(first.begun) > 0
        assert all(batch.stored for batch in flow.finished(second))


def test_a_run_that_is_interrupted_ends_its_threads(steps: Steps, threads: None) -> None:
    with pytest.raises(KeyboardInterrupt), StageWorkers(steps) as flow:
        flow.submit(everything := group(*range(FILES)))
        next(iter(flow.finished(everything)))
        raise KeyboardInterrupt


class Constant(HashingEmbedder):
    """One vector for all: a test of memory is none of speed."""

    def embed(self, texts: Any) -> Any:
        return [[1.0] * 64 for _ in texts]


def most_memory(steps: Steps, mebibytes: int) -> int:
    """The most bytes that Python held while one document of this size went through."""
    text = "".join(f"line {number} of a long document that is read in blocks.\n" for number in range(1000))
    (steps.directory / "0.txt").write_text(text * (mebibytes * 20))
    document = group(0)
    with StageWorkers(steps) as flow:
        tracemalloc.start()
        try:
            flow.submit(document)
            chunks = sum(len(batch.stored) for batch in flow.finished(document))
            assert chunks > 500 * mebibytes
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def test_memory_does_not_grow_with_a_document(steps: Steps, store: Store, threads: None) -> None:
    store.gate = Slow()
    large = Steps(steps.store, Constant(64), Splitter(1000, 0), steps.collection, steps.directory, steps.stages)
    small, store.ids = most_memory(large, 2), []
    # An id for each chunk is kept until its group ends; nothing else is.
    assert most_memory(large, 8) < small + 4 * (1 << 20)
    assert small < 16 << 20


class Slow(threading.Event):
    """A store that is slower than all before it."""

    def wait(self, timeout: float | None = None) -> bool:
        time.sleep(0.002)
        return True
