"""`make bench-qdrant-client`: searches of the API's client over gRPC and REST against httpx with JSON, on a real cluster of three."""

from __future__ import annotations

import asyncio
import os
import platform
import random
import statistics
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
from measure import publish

sys.path.insert(0, str(Path(__file__).parent.parent))

from ragops.adapters.qdrant.addresses import Address
from ragops.adapters.qdrant.async_client import AsyncClient
from ragops.adapters.qdrant.client import Client, Point, VectorParams
from ragops.adapters.qdrant.searching import Question
from tests.qdrant_processes import KEY, cluster

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

NAME, SIZE, POINTS, LIMIT = "bench", 384, int(os.environ.get("POINTS", "10000")), 10
ROUNDS, SEARCHES, AT_ONCE = 5, int(os.environ.get("SEARCHES", "500")), 16


class Silent:
    """No node is expected to fail."""

    def ejected(self, node: Address, reason: str) -> None:
        raise AssertionError(f"{node.name}: {reason}")

    def readmitted(self, node: Address) -> None:
        pass


@dataclass(frozen=True)
class Round:
    """Processor time of this process for one search, in milliseconds, and searches in a second."""

    milliseconds: float
    rate: float


def vector(number: int) -> list[float]:
    dice = random.Random(number)
    return [dice.uniform(-1, 1) for _ in range(SIZE)]


def fill(addresses: list[Address]) -> None:
    text = "word " * 160  # a chunk
    with Client(addresses, KEY, seconds=60) as client:
        placement = {"shard_number": 6, "replication_factor": 2, "write_consistency_factor": 1}
        client.create_collection(NAME, VectorParams(SIZE, "Cosine"), placement)
        for start in range(0, POINTS, 500):
            points = [
                Point(UUID(int=number), vector(number), {"document_id": number, "path": f"{number}.md", "text": text})
                for number in range(start, min(start + 500, POINTS))
            ]
            client.upsert(NAME, points)


async def measure(search: Callable[[list[float]], Awaitable[int]], vectors: list[list[float]]) -> Round:
    left = iter(vectors)

    async def work() -> None:
        for one in left:
            assert await search(one) == LIMIT

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    seconds, used = time.perf_counter() - began, time.process_time() - used
    return Round(used * 1000 / len(vectors), len(vectors) / seconds)


async def rounds(addresses: list[Address]) -> dict[str, list[Round]]:
    grpc = AsyncClient(addresses, lambda: KEY, seconds=30, monotonic=time.monotonic, observer=Silent())
    rest_only = [Address(one.name, one.url) for one in addresses]
    rest = AsyncClient(rest_only, lambda: KEY, seconds=30, monotonic=time.monotonic, observer=Silent())
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=50)
    http = httpx.AsyncClient(headers={"api-key": KEY}, trust_env=False, timeout=30, limits=limits)
    turn = 0

    async def by_json(one: list[float]) -> int:
        nonlocal turn
        turn += 1
        url = f"{addresses[turn % len(addresses)].url}/collections/{NAME}/points/query"
        response = await http.post(url, json={"query": one, "limit": LIMIT, "with_payload": True})
        return len(response.json()["result"]["points"])

    def by(client: AsyncClient) -> Callable[[list[float]], Awaitable[int]]:
        async def search(one: list[float]) -> int:
            return len(await client.query(NAME, Question(one, None, LIMIT)))

        return search

    ways = {"httpx, JSON": by_json, "the client, REST": by(rest), "the client, gRPC": by(grpc)}
    vectors = [vector(-number) for number in range(1, SEARCHES + 1)]
    found: dict[str, list[Round]] = {name: [] for name in ways}
    for way in ways.values():
        await measure(way, vectors[:100])
    for _ in range(ROUNDS):
        for name, way in ways.items():
            found[name].append(await measure(way, vectors))
    await asyncio.gather(grpc.close(), rest.close(), http.aclose())
    return found


def table(found: dict[str, list[Round]], version: str) -> str:
    base = found["httpx, JSON"]
    lines = [
        f"`make bench-qdrant-client` on {os.cpu_count()} cores, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}; "
        f"Qdrant {version}, three nodes on this machine, {POINTS} points of {SIZE} numbers, {AT_ONCE} searches at once; "
        f"median (least-most) of {ROUNDS} rounds of {SEARCHES} searches, in turn.",
        "",
        "| client | processor time of the caller for a search | of httpx, round by round | searches/s | of httpx |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, all_rounds in found.items():
        times, rates = [one.milliseconds for one in all_rounds], [one.rate for one in all_rounds]
        time_ratios = [one.milliseconds / other.milliseconds for one, other in zip(all_rounds, base, strict=True)]
        rate_ratios = [one.rate / other.rate for one, other in zip(all_rounds, base, strict=True)]
        lines.append(f"| {name} | {text(times)} ms | {text(time_ratios)} | {text(rates, 0)} | {text(rate_ratios)} |")
    return "\n".join(lines)


def text(values: list[float], digits: int = 2) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def main() -> None:
    # As on the platform: by default a server closes idle connections just when clients use them again.
    with cluster(3, SERVICE__HTTP_KEEP_ALIVE_TIMEOUT_SEC="75") as made:
        addresses = [Address(f"qdrant-{number}", made.url(number), made.grpc_url(number)) for number in made.numbers]
        fill(addresses)
        found = asyncio.run(rounds(addresses))
        publish("bench-qdrant-client", table(found, made.version()))


if __name__ == "__main__":
    main()
