"""Writers through ingest's client, readers through the API's and of single nodes, all noted in a history."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx

from ragops.adapters.qdrant.async_client import AsyncClient
from ragops.adapters.qdrant.client import Client, Point
from ragops.adapters.qdrant.failures import RequestFailedError
from ragops.adapters.qdrant.searching import Question
from ragops.errors import RagopsError
from ragops.ingest.vectors import VectorStore
from ragops.services.qdrant.cluster.nodes import addresses
from ragops.services.qdrant.settings import instance
from tests.chaos.history import ANY_NODE, History, Read, Write
from tests.chaos.nodes import KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.adapters.qdrant.addresses import Address
    from tests.chaos.nodes import Nodes

SIZE = 16
_BATCH, _KEYS = 8, 1_000_000
_READ_SECONDS = 2.0
_attempts = threading.local()


@dataclass
class Figures:
    """Durations in seconds, and what failed for the client after all its repeats."""

    writes: list[float] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)
    failed_writes: list[str] = field(default_factory=list)
    failed_reads: list[str] = field(default_factory=list)


def note_attempts() -> None:
    """Have every attempt of ingest's client that failed counted for its thread: it may take effect later."""
    attempt = Client._attempt

    def noted(self: Client, request: Any, collection: str) -> Any:
        try:
            return attempt(self, request, collection)
        except RequestFailedError:
            _attempts.failed = getattr(_attempts, "failed", 0) + 1
            raise

    Client._attempt = noted  # type: ignore[method-assign]


class Workload:
    """What runs against one collection from `start` to `stop`."""

    def __init__(
        self, nodes: Nodes, collection: str, placement: dict[str, str], dice: random.Random, pause: float
    ) -> None:
        self._pause = pause
        self.history, self.figures = History(), Figures()
        self._nodes, self._collection, self._placement = nodes, collection, placement
        self._over, self._lock = threading.Event(), threading.Lock()
        self._written: list[int] = []
        self._known: set[int] = set()
        self._errors: list[BaseException] = []
        works = [
            *((self._write, (owner, dice.getrandbits(32))) for owner in range(2)),
            *((self._read, (number, dice.getrandbits(32))) for number in nodes.numbers),
            (self._search, (dice.getrandbits(32),)),
        ]
        self._threads = [threading.Thread(target=self._guarded, args=work, daemon=True) for work in works]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the load; raises what went wrong in the load itself."""
        self._over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client has not ended"
        if self._errors:
            raise self._errors[0]

    def read_all(self) -> None:
        """Note what every node returns for every key, when nobody writes any more."""
        for number in self._nodes.numbers:
            with self._nodes.http(number) as api:
                for start in range(0, len(self._written), 500):
                    keys = self._written[start : start + 500]
                    self.history.final += self._reads(api, number, keys)

    def _guarded(self, work: Any, arguments: Sequence[Any]) -> None:
        try:
            work(*arguments)
        except BaseException as error:
            self._errors.append(error)

    # --- writers -------------------------------------------------------------------------------------------------

    def _write(self, owner: int, seed: int) -> None:
        dice, versions, version = random.Random(seed), dict[int, int | None](), 0
        with VectorStore.at(self._nodes.endpoint(self._placement, first=owner + 1)) as store:
            while not self._over.is_set():
                version += 1
                present = [key for key, value in versions.items() if value is not None]
                if len(present) > 3 * _BATCH and dice.random() < 0.3:
                    keys = dice.sample(present, _BATCH)
                    self._change(store, keys, None)
                    versions |= dict.fromkeys(keys, None)
                else:
                    fresh = [owner * _KEYS + len(versions) + place for place in range(_BATCH // 2)]
                    keys = [*fresh, *dice.sample(sorted(versions), min(len(versions), _BATCH // 2))]
                    self._change(store, keys, version)
                    versions |= dict.fromkeys(keys, version)
                self._over.wait(self._pause)

    def _change(self, store: VectorStore, keys: list[int], version: int | None) -> None:
        _attempts.failed = 0
        start, end = time.monotonic(), None
        try:
            if version is None:
                store.delete(self._collection, [UUID(int=key) for key in keys])
            else:
                store.upsert(self._collection, [_point(key, version) for key in keys])
            end = time.monotonic()
        except RagopsError as error:
            self.figures.failed_writes.append(f"{error.code}: {error.message}"[:300])
        self.figures.writes.append(time.monotonic() - start)
        with self._lock:
            if _attempts.failed and end is not None:
                self.history.writes += [Write(key, version, start, None) for key in keys]
            self.history.writes += [Write(key, version, start, end) for key in keys]
            self._written += [key for key in keys if key not in self._known]
            self._known.update(keys)

    # --- readers -------------------------------------------------------------------------------------------------

    def _read(self, number: int, seed: int) -> None:
        """Read points of one node, whatever state it is in; that it does not answer is no failure here."""
        dice = random.Random(seed)
        with self._nodes.http(number, _READ_SECONDS) as api:
            while not self._over.is_set():
                with self._lock:
                    keys = dice.sample(self._written, min(len(self._written), 2 * _BATCH))
                try:
                    found = self._reads(api, number, keys) if keys else []
                except httpx.HTTPError:
                    found = []
                with self._lock:
                    self.history.reads += found
                self._over.wait(2 * self._pause)

    def _reads(self, api: httpx.Client, number: int, keys: Sequence[int]) -> list[Read]:
        body = {"ids": [str(UUID(int=key)) for key in keys], "with_payload": True, "with_vector": False}
        start = time.monotonic()
        answer = api.post(f"/collections/{self._collection}/points", json=body)
        end = time.monotonic()
        answer.raise_for_status()
        found = {UUID(point["id"]).int: point["payload"]["version"] for point in answer.json()["result"]}
        return [Read(key, found.get(key), instance(number), start, end) for key in keys]

    def _search(self, seed: int) -> None:
        asyncio.run(self._search_all(random.Random(seed)))

    async def _search_all(self, dice: random.Random) -> None:
        client = AsyncClient(
            addresses(self._nodes.endpoint()), lambda: KEY, seconds=_READ_SECONDS, monotonic=time.monotonic,
            observer=_Silent(),
        )  # fmt: skip
        try:
            while not self._over.is_set():
                await asyncio.gather(*(self._search_one(client, dice) for _ in range(2)))
                await asyncio.sleep(self._pause)
        finally:
            await client.close()

    async def _search_one(self, client: AsyncClient, dice: random.Random) -> None:
        start = time.monotonic()
        try:
            hits = await client.query(self._collection, Question(_vector(dice.getrandbits(32)), None, 5))
        except RequestFailedError as error:
            self.figures.failed_reads.append(str(error)[:300])
            hits = []
        end = time.monotonic()
        self.figures.reads.append(end - start)
        seen = [(UUID(hit.id).int, hit.payload["version"]) for hit in hits]
        with self._lock:
            self.history.reads += [Read(key, version, ANY_NODE, start, end) for key, version in seen]


class _Silent:
    """Nodes are expected to fail."""

    def ejected(self, node: Address, reason: str) -> None:
        pass

    def readmitted(self, node: Address) -> None:
        pass


def _point(key: int, version: int) -> Point:
    return Point(UUID(int=key), _vector(key), {"key": key, "version": version})


def _vector(seed: int) -> list[float]:
    dice = random.Random(seed)
    return [dice.uniform(-1, 1) for _ in range(SIZE)]
