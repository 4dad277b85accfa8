"""`make bench-ingest`: an ingest whose steps overlap against one step after the other, on a real cluster of three."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from measure import publish, ratios, run, spread

sys.path.insert(0, str(Path(__file__).parent.parent))

from ragops.config.load import load
from ragops.embedding import make
from ragops.embedding.spec import ModelSpec
from ragops.ingest.collection_run import CollectionRun
from ragops.ingest.document_store import open_store
from ragops.ingest.vectors import VectorStore
from ragops.operations.session import Session
from tests.qdrant_processes import Cluster, cluster

if TYPE_CHECKING:
    from ragops.embedding import Embedder
    from ragops.services.contract import Endpoint

RAGOPS = str(Path(sys.executable).with_name("ragops"))
CHUNKS, ROUNDS = int(os.environ.get("CHUNKS", "33770")), int(os.environ.get("ROUNDS", "3"))
SIZE, OF_FILE, BAR = 600, 9000, 1.6


def fill(folder: Path) -> None:
    """Sources of this Python and its packages, as text, in files of about OF_FILE characters."""
    folder.mkdir()
    left, number = CHUNKS * SIZE * 4 // 5, 0  # the splitter cuts before the limit
    for path in sorted(Path(sysconfig.get_path("purelib")).rglob("*.py")):
        text = path.read_text(errors="replace")
        for start in range(0, len(text), OF_FILE):
            (folder / f"{number:05}.txt").write_text(text[start : start + OF_FILE])
            number, left = number + 1, left - OF_FILE
            if left < 0:
                return


def measure(database: Endpoint, made: Cluster, embedder: Embedder, folder: Path, *, overlapping: bool) -> float:
    """Chunks in a second, into a new collection."""
    name = f"bench-{time.time_ns()}"
    with open_store(database, "operator") as rows, VectorStore.at(made.endpoint) as store:
        rows._all("INSERT INTO rag.embedding_models (name) VALUES (%s) ON CONFLICT DO NOTHING", [embedder.name])
        rows._all(
            "INSERT INTO rag.collections (name, directory, embedding_model, chunk_size, chunk_overlap, file_types)"
            " VALUES (%s, %s, %s, %s, 60, '{txt}')",
            [name, str(folder), embedder.name, SIZE],
        )
        [collection] = [one for one in rows.collections() if one.name == name]
        began = time.perf_counter()
        one = CollectionRun(rows, store, embedder, collection, folder, "bench", lambda _: None, overlapping=overlapping)
        report = one.run()
        rate = report.chunks / (time.perf_counter() - began)
        print(
            f"{embedder.name} {'overlapping' if overlapping else 'in turn'}: {report.chunks} chunks, {rate:.0f}/s",
            report.failed[:1],
        )
    with made.http() as api:
        api.delete(f"/collections/{name}").raise_for_status()
    return rate


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="ragops-ingest-"))
    folder.chmod(0o755)
    try:
        run([RAGOPS, "init", "--name", "bench"], folder)
        run([RAGOPS, "up", "--yes"], folder)
        run([RAGOPS, "migrate", "up"], folder)
        fill(folder / "texts")
        database = Session(load(folder / "ragops.yaml", None), "bench", print).endpoint("timescaledb")
        lines = []
        with cluster(3) as made:
            for kind in ("hashing", "static"):
                embedder = make(ModelSpec(kind=kind))
                pairs = [
                    [measure(database, made, embedder, folder / "texts", overlapping=way) for way in (True, False)]
                    for _ in range(ROUNDS)
                ]
                ours, theirs = ([pair[place] for pair in pairs] for place in (0, 1))
                lines.append(
                    f"| {embedder.name} | {spread(ours, 0)} | {spread(theirs, 0)} | {ratios(ours, theirs)} | {BAR} |"
                )
            version = made.version()
    finally:
        subprocess.run([RAGOPS, "down", "--purge-data", "--yes"], cwd=folder, capture_output=True, timeout=120)
        shutil.rmtree(folder)
    head = (
        f"`make bench-ingest` on {os.cpu_count()} cores (load {os.getloadavg()[0]:.0f} of other work), Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}; about {CHUNKS} chunks"
        f" into Qdrant {version}, three nodes on this machine; median (least-most) of {ROUNDS} rounds in turn.\n\n"
        "| embedder | chunks/s, steps overlap | one after the other | ratio, pair by pair | bar |\n| --- | --- | --- | --- | --- |\n"
    )
    publish("bench-ingest", head + "\n".join(lines))


if __name__ == "__main__":
    main()
