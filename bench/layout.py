"""`make bench-layout`: what layouts of a collection cost and find, on three real nodes (RAGOPS_TEST_QDRANT).

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

from measure import publish
from qdrant_client import grpc
from qdrant_client.conversions.conversion import payload_to_grpc
from segments import LIMIT, SIZE, exact, vectors

sys.path.insert(0, str(Path(__file__).parent.parent))

from ragops.adapters.qdrant.addresses import Address
from ragops.adapters.qdrant.client import Client
from ragops.adapters.qdrant.library import open_async_client
from tests.qdrant_processes import KEY, Cluster, ask, cluster, done

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE = 16
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


def seconds_used(made: Cluster) -> float:
    """Processor time of all nodes so far."""
    total = 0
    for process in made.processes.values():
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


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
    yield "| layout | processor time of all nodes for a search | searches/s | recall@10 | upserts/s | for a point, without its index | indexed |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    with cluster(3, SERVICE__HTTP_KEEP_ALIVE_TIMEOUT_SEC="75") as made:
        for shards, copies in LAYOUTS:
            create(made, "bench", shards, copies)
            rate, used = fill(made, "bench", data)
            indexed = settle(made, "bench")
            found = rounds(made, "bench", asked, truth)
            yield f"| {shards} shard{'s' if shards > 1 else ''} in {copies} copies | {cells(found)} | {rate:.0f} | {used:.2f} ms | {indexed:,} |"
            with made.http() as api:
                ask(api, "DELETE", "/collections/bench")


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
    publish("bench-layout", "\n".join(lines))


if __name__ == "__main__":
    main()
