"""`make bench-ingest-scale`: an ingest of very many chunks: its memory, its rate, and how well it predicts its end.

CHUNKS is the number, 1,000,000 unless said otherwise. RSS is that of the ingest alone: engines are other processes.
"""

from __future__ import annotations

import json
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import publish, run

sys.path.insert(0, str(Path(__file__).parent.parent))

if TYPE_CHECKING:
    from ragops.ingest.progress import Progress

RAGOPS = str(Path(sys.executable).with_name("ragops"))
CHUNKS = int(os.environ.get("CHUNKS", "1000000"))
SIZE, OF_FILE, FOLDER_FILES = 600, 20, 500
COLLECTION, MODEL, BAR_MB = "many", "hashing-384-v1", 150


def fill(folder: Path) -> None:
    """Write files of about OF_FILE chunks each, of words that repeat as those of a language do."""
    rng = random.Random(1)
    words = [f"{rng.getrandbits(rng.randrange(12, 40)):x}" for _ in range(20_000)]
    weights = [1 / (place + 1) for place in range(len(words))]
    for number in range(CHUNKS // OF_FILE):
        part = folder / f"{number // FOLDER_FILES:04}"
        part.mkdir(parents=True, exist_ok=True)
        lines = (" ".join(rng.choices(words, weights, k=12)) + "." for _ in range(OF_FILE * SIZE // 80))
        (part / f"{number:07}.txt").write_text("\n".join(lines))


def child(folder: Path) -> None:
    """Ingest, and print what it took as JSON."""
    from ragops.config.load import load
    from ragops.embedding import make
    from ragops.embedding.spec import ModelSpec
    from ragops.operations.data.ingest import ingest
    from ragops.operations.session import Session

    session = Session(load(folder / "ragops.yaml", None), "bench", print)
    database, vectors = session.endpoint("timescaledb"), session.endpoint("qdrant")
    embedder = make(ModelSpec(kind="hashing"))
    embedder.embed(["all imports are done"])
    imports, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    told: list[tuple[float, float]] = []  # seconds since the beginning, seconds that are said to be left

    def on_progress(progress: Progress) -> None:
        if progress.left is not None and (not told or time.monotonic() - began - told[-1][0] > 1):
            told.append((time.monotonic() - began, progress.left))

    report = ingest(database, vectors, embedder, [COLLECTION], on_progress, root=folder)
    seconds, usage = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "chunks": report.collections[0].chunks,
        "seconds": seconds,
        "cpu": usage.ru_utime + usage.ru_stime,
        "imports": imports / 1024,
        "most": usage.ru_maxrss / 1024,
        "told": told,
    }
    print(json.dumps(found))


def describe(found: dict[str, Any]) -> str:
    """Return the table."""
    chunks, seconds, told = found["chunks"], found["seconds"], found["told"]
    lines = ["| part of the time that had passed | predicted to be left, s | really left, s |", "| --- | --- | --- |"]
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        if near := [one for one in told if one[0] >= share * seconds]:
            at, left = near[0]
            lines.append(f"| {at / seconds:.0%} | {left:.0f} | {seconds - at:.0f} |")
    above = found["most"] - found["imports"]
    return (
        f"{chunks:,} chunks in {seconds:.0f} s, {chunks / seconds:.0f}/s; processor time of the ingest"
        f" {found['cpu'] * 1000 / max(chunks, 1):.2f} ms a chunk. Most memory {found['most']:.0f} MB, {above:.0f} MB above that"
        f" of its imports (bar {BAR_MB} MB).\n\n" + "\n".join(lines)
    )


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="ragops-scale-"))
    folder.chmod(0o755)
    try:
        run([RAGOPS, "init", "--name", "scale"], folder)
        fill(folder / "texts")
        defaults = {"embeddingModel": MODEL, "chunkSize": SIZE, "chunkOverlap": 60}
        items = [{"name": COLLECTION, "directory": "texts", "fileTypes": ["txt"]}]
        (folder / "collections.json").write_text(json.dumps({"collections": items, "defaults": defaults}))
        for arguments in (["up", "--yes"], ["migrate", "up"], ["migrate", "json-to-db", "collections.json"]):
            run([RAGOPS, *arguments], folder)
        done = subprocess.run(
            [sys.executable, __file__, "--child", str(folder)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        found = json.loads(done.stdout.splitlines()[-1])
    finally:
        subprocess.run([RAGOPS, "down", "--purge-data", "--yes"], cwd=folder, capture_output=True, timeout=300)
        shutil.rmtree(folder, ignore_errors=True)
    head = (
        f"`make bench-ingest-scale` on {os.cpu_count()} cores (load {os.getloadavg()[0]:.0f}), Python {platform.python_version()},"
        f" {datetime.now(UTC):%Y-%m-%d}; {CHUNKS:,} chunks wanted, `hashing`, the development server.\n\n"
    )
    publish("bench-ingest-scale", head + describe(found))


if __name__ == "__main__":
    child(Path(sys.argv[2])) if sys.argv[1:2] == ["--child"] else main()
