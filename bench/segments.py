"""`make bench-segments`: what an index, quantization and vectors on disk cost and find in one shard, on Qdrant's own engine.

Each way runs in a process of its own, in which the engine is a library: its processor time is its alone.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import qdrant_edge as edge
from measure import publish

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE, LIMIT = 384, 10
SIZES = [int(one) for one in os.environ.get("SIZES", "2000,5000,10000,20000,100000").split(",")]
SEARCHES, ROUNDS = int(os.environ.get("SEARCHES", "300")), int(os.environ.get("ROUNDS", "5"))
_INT8 = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=0.99, always_ram=True)
_NOTHING = 1 << 40  # KB of vectors: no segment has an index
# Name: vectors on disk, quantized, KB of vectors from which a segment has an index; rescoring, factor of candidates.
# A segment below 10,000 KB is searched without its index, if it has one: that is `full_scan_threshold`.
WAYS: dict[str, tuple[bool, bool, int, bool | None, float | None]] = {
    "no index": (False, False, _NOTHING, None, None),
    "index": (False, False, 1, None, None),
    "index, int8, not rescored": (False, True, 1, False, None),
    "index, int8, rescored": (False, True, 1, True, None),
    "index, int8, rescored of twice as many": (False, True, 1, True, 2.0),
    "index, vectors on disk": (True, False, 1, None, None),
    "index, int8, vectors on disk, rescored of twice as many": (True, True, 1, True, 2.0),
}


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


def run_one(way: str, size: int, folder: Path) -> dict[str, Any]:
    """Fill a shard, and measure the searches in it."""
    on_disk, quantized, threshold, rescore, oversampling = WAYS[way]
    shard = edge.EdgeShard.create(str(folder), edge.EdgeConfig(
        vectors={"": edge.EdgeVectorParams(SIZE, edge.Distance.Cosine, on_disk=on_disk)},
        quantization_config=_INT8 if quantized else None,
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=threshold, default_segment_number=1),
    ))  # fmt: skip
    data, asked = vectors(size, 1), vectors(SEARCHES, 2)
    truth = exact(data, asked)
    for start in range(0, size, 500):
        points = [
            edge.Point(UUID(int=start + place), one, {"text": "word " * 100})
            for place, one in enumerate(data[start : start + 500].tolist())
        ]
        shard.update(edge.UpdateOperation.upsert_points(points))
    began = time.process_time()
    while shard.optimize():
        pass
    built = time.process_time() - began
    indexed = shard.info().indexed_vectors_count
    del data, points
    shard.close()
    shard = edge.EdgeShard.load(str(folder))
    params = None
    if quantized:
        params = edge.SearchParams(quantization=edge.QuantizationSearchParams(False, rescore, oversampling))
    times, hits = [], 0
    for number in range(ROUNDS + 1):
        used = time.process_time()
        for place, one in enumerate(asked.tolist()):
            found = shard.search(edge.SearchRequest(edge.Query.Nearest(one), limit=LIMIT, params=params))
            hits += len(truth[place] & {UUID(str(point.id)).int for point in found}) if number else 0
        times.append((time.process_time() - used) * 1000 / len(asked))
    shard.close()
    recall = hits / (LIMIT * len(asked) * ROUNDS)
    return {"times": times[1:], "recall": recall, "indexed": indexed, "built": built}


def rows() -> Iterator[str]:
    yield "| points | way | processor time for a search | recall@10 | indexed | processor time to build |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for size in SIZES:
        for way in WAYS:
            with tempfile.TemporaryDirectory(prefix="ragops-bench-") as folder:
                command = [sys.executable, __file__, way, str(size), folder]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=1800)
            one = json.loads(done.stdout)
            times = f"{statistics.median(one['times']):.3f} ({min(one['times']):.3f}-{max(one['times']):.3f}) ms"
            yield f"| {size:,} | {way} | {times} | {one['recall']:.4f} | {one['indexed']:,} | {one['built']:.1f} s |"


def main() -> None:
    if len(sys.argv) > 1:
        way, size, folder = sys.argv[1:]
        print(json.dumps(run_one(way, int(size), Path(folder))))
        return
    lines = [
        f"`make bench-segments` on {os.cpu_count()} cores, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}; "
        f"vectors of {SIZE} numbers around 1,000 centres; median (least-most) of {ROUNDS} rounds of {SEARCHES} searches.",
        "",
    ]
    for line in rows():
        print(line, file=sys.stderr, flush=True)
        lines.append(line)
    publish("bench-segments", "\n".join(lines))


if __name__ == "__main__":
    main()
