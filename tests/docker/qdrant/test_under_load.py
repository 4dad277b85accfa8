"""A node killed while the API reads and ingest writes: no read fails, no acknowledged write is lost."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from ragops.api.config import ApiConfig
from ragops.api.dependencies import build
from ragops.embedding.hashing import HashingEmbedder
from ragops.ingest.vectors import Point, VectorStore
from ragops.services.qdrant.cluster.cluster import wait_all_active

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.fault]

SIZE = 384


@dataclass
class Load:
    """What reads through the API's own search and writes through ingest's own store came to; times in seconds."""

    cluster: Any
    folder: Path
    reads: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    stored: list[uuid.UUID] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)
    out_now: int = 0
    over: bool = False

    def start(self) -> None:
        self.threads = [threading.Thread(target=self.read), threading.Thread(target=self.write)]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.over = True
        for thread in self.threads:
            thread.join(120)

    def read(self) -> None:
        asyncio.run(self._read())

    async def _read(self) -> None:
        (self.folder / "qdrant.key").write_text(self.cluster.endpoint.logins["application"].password.get_secret_value())
        values = {
            "listen": {"port": 8080}, "platform": "test", "issuer": "ragops/test", "jwks_file": "jwks.json",
            "qdrant": {
                "urls": [node.url for node in self.cluster.endpoint.nodes],
                "grpc_urls": [node.grpc_url for node in self.cluster.endpoint.nodes],
                "api_key_file": "qdrant.key",
            },
            "embedder": {"kind": "hashing", "dimensions": SIZE},
            # Every search has to find: these questions are near nothing that is written here.
            "search": {"mode": "dense", "least_cosine": -1.0},
            "legacy": {"deprecated": "2026-11-23", "sunset": "2027-05-23"},
        }  # fmt: skip
        deps = build(ApiConfig.model_validate(values).model_copy(update={"folder": self.folder}))
        try:
            while not self.over:
                await asyncio.gather(*(self._search(deps) for _ in range(3)))
                out = deps.search.qdrant.ejected()
                self.left_out |= set(out)
                self.out_now = len(out)
        finally:
            await deps.close()

    async def _search(self, deps: Any) -> None:
        started = time.monotonic()
        try:
            found = await deps.search.passages("docs", f"question {len(self.reads)}", 5)
            assert len(found.passages) == 5
        except Exception as error:
            self.failures.append(f"read: {error!r}")
        self.reads.append(time.monotonic() - started)

    def write(self) -> None:
        embedder = HashingEmbedder(SIZE)
        with VectorStore.at(self.cluster.endpoint) as store:
            while not self.over:
                ids = [uuid.uuid4() for _ in range(8)]
                vectors = embedder.embed([f"written {one}" for one in ids])
                started = time.monotonic()
                try:
                    store.upsert(
                        "docs",
                        [
                            Point(one, vector, {"text": f"written {one}"})
                            for one, vector in zip(ids, vectors, strict=True)
                        ],
                    )
                    self.stored += ids
                except Exception as error:
                    self.failures.append(f"write: {error!r}")
                self.writes.append(time.monotonic() - started)

    def missing(self, number: int) -> set[str]:
        """Acknowledged points that a node does not find."""
        wanted = [str(one) for one in self.stored]
        found: set[str] = set()
        with self.cluster.http(number) as api:
            for start in range(0, len(wanted), 500):
                body = {"ids": wanted[start : start + 500], "with_payload": False}
                points = api.post("/collections/docs/points", json=body).raise_for_status().json()["result"]
                found |= {point["id"] for point in points}
        return set(wanted) - found

    def told(self) -> str:
        return (
            f"{len(self.reads)} reads, slowest {max(self.reads) * 1000:.0f} ms; "
            f"{len(self.writes)} writes, slowest {max(self.writes) * 1000:.0f} ms"
        )


@pytest.mark.parametrize("how", ["killed", "stopped", "frozen"])
def test_a_node_lost_under_load(
    cluster: Any, drop: None, tmp_path: Path, wait_until: Callable[..., None], record_property: Any, how: str
) -> None:
    with VectorStore.at(cluster.endpoint) as store:
        store.ensure("docs", SIZE)
        texts = [f"first {number}" for number in range(50)]
        vectors = HashingEmbedder(SIZE).embed(texts)
        points = [Point(uuid.uuid4(), vector, {"text": text}) for text, vector in zip(texts, vectors, strict=True)]
        store.upsert("docs", points)
    load = Load(cluster, tmp_path)
    load.start()
    try:
        wait_until(lambda: len(load.reads) > 20 and len(load.writes) > 5, what="load")
        take_away(cluster, 2, how)
        wait_until(lambda: cluster.url(2) in load.left_out, what="the API leaving the node out")
        reads, writes = len(load.reads), len(load.writes)
        wait_until(lambda: len(load.reads) > reads + 50 and len(load.writes) > writes + 5, 60, "going on without it")
        bring_back(cluster, 2, how)
        started = time.monotonic()
        wait_all_active(cluster.endpoint, 90)
        record_property("seconds until all active", round(time.monotonic() - started, 1))
        wait_until(lambda: load.out_now == 0, 60, "the API taking the node back")
    finally:
        load.stop()
    record_property("load", load.told())
    assert load.failures == []
    assert cluster.url(2) in load.left_out  # and for a moment perhaps another one that waited for it
    assert all(load.missing(number) == set() for number in cluster.numbers), load.told()


def take_away(cluster: Any, number: int, how: str) -> None:
    name = cluster.container(number)
    if how == "killed":
        cluster.kill(number)
    elif how == "stopped":
        cluster.docker.stop(name, cluster.spec(number).stop_grace)
    else:
        cluster.docker.api.pause(name)


def bring_back(cluster: Any, number: int, how: str) -> None:
    if how == "frozen":
        cluster.docker.api.unpause(cluster.container(number))
    else:
        cluster.start(number)
