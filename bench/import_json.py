"""`make bench-import`: 100,000 collections imported from JSON, against psql's \\copy of the same rows into the same table."""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from measure import publish, ratios, run, spread

from ragops.config import secrets
from ragops.config.load import load
from ragops.runtimes.embedded.programs import locate

RAGOPS = str(Path(sys.executable).with_name("ragops"))
COLLECTIONS, ROUNDS = 100_000, 5
COLUMNS = "name, directory, embedding_model, chunk_size, chunk_overlap, file_types, recursive, enabled, source, extra"


def document(folder: Path) -> Path:
    """A collections-config.json with COLLECTIONS entries, a key that ragops does not know in each."""
    items = [
        {"name": f"collection_{n:06}", "directory": f"/data/docs/{n % 997}/{n}", "fileTypes": ["md", "txt"], "owner": n}
        for n in range(COLLECTIONS)
    ]
    defaults = {"embeddingModel": "hashing-384-v1", "chunkSize": 512, "chunkOverlap": 50, "recursive": True}
    path = folder / "collections-config.json"
    path.write_text(json.dumps({"collections": items, "defaults": {**defaults, "enabled": True}}))
    return path


class Psql:
    """The wheel's own psql on the platform's database."""

    def __init__(self, folder: Path) -> None:
        project = load(folder / "ragops.yaml", None)
        password = secrets.load(project.paths.secrets)["timescaledb_owner"]
        service = folder / "pgpass"
        service.write_text(f"127.0.0.1:*:*:rag_owner:{password}\n")
        service.chmod(0o600)
        self._port = str(project.settings.timescaledb.port)
        self._env = {**os.environ, "PGPASSFILE": str(service), "PGOPTIONS": "-c client_min_messages=warning"}

    def __call__(self, command: str) -> float:
        """Run one command; seconds."""
        started = time.perf_counter()
        psql = [str(locate("psql")), "-h", "127.0.0.1", "-p", self._port, "-U", "rag_owner", "-d", "rag", "-X", "-q"]
        subprocess.run([*psql, "-v", "ON_ERROR_STOP=1", "-c", command], env=self._env, check=True, timeout=300)
        return time.perf_counter() - started


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="ragops-bench-"))
    folder.chmod(0o755)
    try:
        for arguments in (["init", "--name", "bench"], ["up", "--yes"], ["migrate", "up"]):
            run([RAGOPS, *arguments], folder)
        rows = measure(folder, document(folder), Psql(folder))
    finally:
        subprocess.run([RAGOPS, "down", "--purge-data", "--yes"], cwd=folder, capture_output=True, timeout=120)
        shutil.rmtree(folder)
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {datetime.now(tz=UTC):%Y-%m-%d}"
    head = "| what | against | ragops | other | ratio, pair by pair | bar |\n| --- | --- | --- | --- | --- | --- |"
    publish(
        "bench-import", f"`make bench-import` on {machine}; median (least-most) of {ROUNDS} rounds.\n\n{head}\n{rows}"
    )


def measure(folder: Path, file: Path, psql: Psql) -> str:
    """The rows of the table: import, second import, both ways of copying the same rows."""
    importing, again, copied, bare = list[float](), list[float](), list[float](), list[float]()
    command = [RAGOPS, "--quiet", "--json", "migrate", "json-to-db", str(file)]
    data = folder / "rows"
    for _ in range(ROUNDS):
        psql("TRUNCATE rag.collections CASCADE")
        importing.append(run(command, folder).wall)
        again.append(run(command, folder).wall)
        psql(f"\\copy (SELECT {COLUMNS} FROM rag.collections) TO '{data}'")
        psql("TRUNCATE rag.collections CASCADE")
        copied.append(psql(f"\\copy rag.collections ({COLUMNS}) FROM '{data}'"))
        psql("DROP TABLE IF EXISTS bare; CREATE TABLE bare (LIKE rag.collections INCLUDING ALL)")
        bare.append(psql(f"\\copy bare ({COLUMNS}) FROM '{data}'"))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return (
        f"| import of {COLLECTIONS:,} collections, whole command | `\\copy` into `rag.collections` | {spread(importing)} s |"
        f" {spread(copied)} s | {ratios(importing, copied)} | 5 |\n"
        f"| the same | `\\copy` into a table with its keys, without its audit triggers | {spread(importing)} s |"
        f" {spread(bare)} s | {ratios(importing, bare)} | |\n"
        f"| second import, which changes nothing | `\\copy` into `rag.collections` | {spread(again)} s |"
        f" {spread(copied)} s | {ratios(again, copied)} | |\n"
        f"\nMost memory of any of these processes: {peak:.0f} MiB."
    )


if __name__ == "__main__":
    main()
