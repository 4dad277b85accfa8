"""`make bench-layout`: what layouts, indexes and quantization cost and find, on real nodes (RAGOPS_TEST_QDRANT).

Processor time is that of the node processes, by /proc: it holds on a busy machine, where rates do not.
"""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from measure import publish
from qdrant_client import grpc
from qdrant_client.conversions.conversion import payload_to_grpc

sys.path.insert(0, str(Path(__file__).parent.parent))

from ragops.adapters.qdrant.addresses import Address
from ragops.adapters.qdrant.client import Client
from ragops.adapters.qdrant.library import open_async_client
from tests.qdrant_processes import KEY, Cluster, ask, cluster, done

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE, LIMIT, AT_ONCE = 384, 10, 16
POINTS = int(os.environ.get("POINTS", "33770"))
SEARCHES, ROUNDS = int(os.environ.get("SEARCHES", "600")), int(os.environ.get("ROUNDS", "3"))
LAYOUTS = ((6, 2), (3, 2), (1, 3))
_TICKS = os.sysconf("SC_CLK_TCK")
_PAYLOAD = payload_to_grpc({"path": "a.md", "text": "word " * 100, "collection": "bench"})


@dataclass(frozen=True)
class Round:
    """Processor time of all nodes for one search in milliseconds, searches in a second, recall@10."""

    milliseconds: float
    rate: float
    recall: float


def vectors(number: int, seed: int) -> Any:
    """Vectors around a thousand centres, as those of texts on a thousand subjects are."""
    centres = np.random.default_rng(7).normal(size=(1000, SIZE)).astype("float32")
    dice = np.random.default_rng(seed)
    made = centres[dice.integers(0, 1000, number)] + 0.7 * dice.normal(size=(number, SIZE)).astype("float32")
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def exact(data: Any, asked: Any) -> list[set[int]]:
    """The numbers of the true neighbours of each question."""
    found: list[set[int]] = []
    for start in range(0, len(asked), 100):
        scores = asked[start : start + 100] @ data.T
        found += [set(row.tolist()) for row in np.argpartition(-scores, LIMIT, axis=1)[:, :LIMIT]]
    return found


def seconds_used(made: Cluster) -> float:
    """Processor time of all nodes so far."""
    total = 0
    for process in made.processes.values():
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def memory(made: Cluster) -> int:
    """Resident bytes of all nodes that no file backs."""
    total = 0
    for process in made.processes.values():
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:"))
    return total


def addresses(made: Cluster) -> list[Address]:
    return [Address(f"qdrant-{number}", made.url(number), made.grpc_url(number)) for number in made.numbers]


def create(made: Cluster, name: str, shards: int, copies: int, **more: Any) -> None:
    vector = {"size": SIZE, "distance": "Cosine", **more.pop("vector", {})}
    with made.http() as api:
        ask(api, "PUT", f"/collections/{name}", {
            "vectors": vector, "shard_number": shards, "replication_factor": copies, "write_consistency_factor": 1, **more,
        })  # fmt: skip


def fill(made: Cluster, name: str, data: Any) -> tuple[float, float]:
    """Store all points; return points a second, and processor time of the nodes for one in milliseconds."""
    began, used = time.perf_counter(), seconds_used(made)
    with Client(addresses(made), KEY, seconds=120) as client:
        for start in range(0, len(data), 256):
            rows = [
                grpc.PointStruct(
                    id=grpc.PointId(uuid=str(UUID(int=start + place))), payload=_PAYLOAD,
                    vectors=grpc.Vectors(vector=grpc.Vector(dense=grpc.DenseVector(data=one))),
                )
                for place, one in enumerate(data[start : start + 256].tolist())
            ]  # fmt: skip
            client.call(
                lambda library, to, rows=rows: library.grpc_points.Upsert(
                    grpc.UpsertPoints(collection_name=to, wait=True, points=rows), timeout=120
                ),
                name,
            )
    return len(data) / (time.perf_counter() - began), (seconds_used(made) - used) * 1000 / len(data)


def settle(made: Cluster, name: str) -> int:
    """Wait until every node has optimized it; return the number of indexed vectors."""
    while True:
        infos = []
        for number in made.numbers:
            with made.http(number) as api:
                infos.append(done(api.get(f"/collections/{name}")))
        if all(info["status"] == "green" for info in infos):
            return max(int(info["indexed_vectors_count"] or 0) for info in infos)
        time.sleep(0.5)


async def measure(made: Cluster, name: str, asked: Any, truth: list[set[int]], params: Any = None) -> Round:
    clients = [open_async_client(one, KEY, 60) for one in addresses(made)]
    queries = [grpc.Query(nearest=grpc.VectorInput(dense=grpc.DenseVector(data=one))) for one in asked.tolist()]
    turn, hits = count(), 0
    left = iter(enumerate(queries))

    async def work() -> None:
        nonlocal hits
        for place, query in left:
            client = clients[next(turn) % len(clients)]
            request = grpc.QueryPoints(
                collection_name=name, query=query, limit=LIMIT, params=params,
                with_payload=grpc.WithPayloadSelector(enable=True),
            )  # fmt: skip
            answer = await client.grpc_points.Query(request, timeout=60)
            hits += len(truth[place] & {UUID(one.id.uuid).int for one in answer.result})

    began, used = time.perf_counter(), seconds_used(made)
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    seconds, used = time.perf_counter() - began, seconds_used(made) - used
    await asyncio.gather(*(one.close() for one in clients))
    return Round(used * 1000 / len(asked), len(asked) / seconds, hits / (LIMIT * len(asked)))


def rounds(made: Cluster, name: str, asked: Any, truth: list[set[int]], params: Any = None) -> list[Round]:
    asyncio.run(measure(made, name, asked[:100], truth, params))
    return [asyncio.run(measure(made, name, asked, truth, params)) for _ in range(ROUNDS)]


def text(values: list[float], digits: int = 2) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def cells(found: list[Round]) -> str:
    times, rates = text([one.milliseconds for one in found]), text([one.rate for one in found], 0)
    return f"{times} ms | {rates} | {statistics.median(one.recall for one in found):.4f}"


def layouts(data: Any, asked: Any, truth: list[set[int]]) -> Iterator[str]:
    yield f"Layouts, {len(data):,} points of {SIZE} numbers on three nodes, {AT_ONCE} searches at once:"
    yield ""
    yield "| layout | processor time of all nodes for a search | searches/s | recall@10 | upserts/s | for a point | indexed |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    with cluster(3, SERVICE__HTTP_KEEP_ALIVE_TIMEOUT_SEC="75") as made:
        for shards, copies in LAYOUTS:
            create(made, "bench", shards, copies)
            rate, used = fill(made, "bench", data)
            indexed = settle(made, "bench")
            found = rounds(made, "bench", asked, truth)
            yield f"| {shards} shards in {copies} copies | {cells(found)} | {rate:.0f} | {used:.2f} ms | {indexed:,} |"
            with made.http() as api:
                ask(api, "DELETE", "/collections/bench")


INT8 = {"scalar": {"type": "int8", "quantile": 0.99, "always_ram": True}}
RESCORED = grpc.SearchParams(quantization=grpc.QuantizationSearchParams(rescore=True, oversampling=2.0))
RAW = grpc.SearchParams(quantization=grpc.QuantizationSearchParams(rescore=False))
WAYS: dict[str, tuple[dict[str, Any], tuple[tuple[str, Any], ...]]] = {
    "default": ({}, (("", None),)),
    "indexed from 2 MB": ({"optimizers_config": {"indexing_threshold": 2000}}, (("", None),)),
    "no index": ({"optimizers_config": {"indexing_threshold": 0}}, (("", None),)),
    "int8": ({"quantization_config": INT8}, (("without rescoring", RAW), ("rescored, twice as many", RESCORED))),
    "vectors on disk": ({"vector": {"on_disk": True}}, (("", None),)),
    "int8, vectors on disk": (
        {"quantization_config": INT8, "vector": {"on_disk": True}}, (("rescored, twice as many", RESCORED),),
    ),
}  # fmt: skip


def storage(sizes: list[int]) -> Iterator[str]:
    yield f"Indexes, quantization, disk: one shard on one node, vectors of {SIZE} numbers, {AT_ONCE} searches at once:"
    yield ""
    yield "| points | way | processor time for a search | searches/s | recall@10 | memory of the node |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for size in sizes:
        data, asked = vectors(size, 1), vectors(SEARCHES, 2)
        truth = exact(data, asked)
        for way, (more, searches) in WAYS.items():
            with cluster(1, SERVICE__HTTP_KEEP_ALIVE_TIMEOUT_SEC="75") as made:
                create(made, "bench", 1, 1, **{key: dict(value) for key, value in more.items()})
                fill(made, "bench", data)
                settle(made, "bench")
                for how, params in searches:
                    found = rounds(made, "bench", asked, truth, params)
                    name = f"{way}, {how}" if how else way
                    yield f"| {size:,} | {name} | {cells(found)} | {memory(made) >> 20} MiB |"


def main() -> None:
    data, asked = vectors(POINTS, 1), vectors(SEARCHES, 2)
    lines = [
        f"`make bench-layout` on {os.cpu_count()} cores, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}; "
        f"vectors around 1,000 centres; median (least-most) of {ROUNDS} rounds of {SEARCHES} searches.",
        "",
    ]
    for line in layouts(data, asked, exact(data, asked)):
        print(line, file=sys.stderr, flush=True)
        lines.append(line)
    lines.append("")
    sizes = [int(one) for one in os.environ.get("SIZES", "5000,20000,100000").split(",") if one]
    for line in storage(sizes):
        print(line, file=sys.stderr, flush=True)
        lines.append(line)
    publish("bench-layout", "\n".join(lines))


if __name__ == "__main__":
    main()
