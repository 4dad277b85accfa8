"""`make bench-backup`: each engine's own command against ragops on the same data, at two sizes; memory; size on disk.

RUNTIME=docker measures the engines of the docker runtime. Nothing is encrypted unless ENCRYPT=1. SMALL_MB, LARGE_MB
(0: not at all), ROUNDS and SERVICES=redis,qdrant make it shorter.
"""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import publish, run, spread, write_project

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
RAGOPS = [str(Path(sys.executable).with_name("ragops"))]
RUNTIME = os.environ.get("RUNTIME", "embedded")
SERVICES = os.environ.get("SERVICES", "timescaledb,redis,qdrant").split(",")
SIZES = {"small": int(os.environ.get("SMALL_MB", "100")), "large": int(os.environ.get("LARGE_MB", "1100"))}
ROUNDS = {"small": 5, "large": 3} if "ROUNDS" not in os.environ else dict.fromkeys(SIZES, int(os.environ["ROUNDS"]))
BLOCK, KEY_BYTES, DIMENSIONS, TEXT = 20_000, 1000, 256, 2000
WORDS = [f"{random.Random(n).getrandbits(40):x}" for n in range(20_000)]


@dataclass(frozen=True)
class Engine:
    """What a user would do without ragops: `dump` writes into a folder, `prove` reads that with the engine's tool."""

    title: str
    service: str
    command: str
    dump: Callable[[Path], Path]
    prove: Callable[[Path], object]


def text(rng: random.Random, size: int) -> str:
    return " ".join(rng.choices(WORDS, k=size // 9))


# --- data ------------------------------------------------------------------------------------------------------------


class Platform:
    """A project with the three stores, and clients of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        values = json.loads(run([*RAGOPS, "outputs", "--format", "json", "--show-secrets"], folder).stdout)
        self.values: dict[str, str] = values
        self.endpoints = json.loads(next((folder / ".ragops/run/default").glob("endpoints.json")).read_text())
        self.secrets = json.loads((folder / ".ragops/secrets/default.json").read_text())

    def sql(self, statement: str, rows: Any = None) -> Any:
        import psycopg

        port, owner = self.values["TIMESCALEDB_PORT"], self.secrets["timescaledb_owner"]
        where = f"host=127.0.0.1 port={port} dbname=rag user=rag_owner password={owner}"
        with psycopg.connect(where, autocommit=True) as connection, connection.cursor() as cursor:
            if rows is None:
                cursor.execute(statement)  # type: ignore[call-overload]
                return cursor.fetchall() if cursor.description else None
            with cursor.copy(statement) as copy:  # type: ignore[call-overload]
                for row in rows:
                    copy.write_row(row)
            return None

    def redis(self) -> Any:
        import redis

        login = {"username": "ragops", "password": self.secrets["redis_operator"]}
        return redis.Redis(port=int(self.endpoints["redis"]["port"]), **login)

    def qdrant(self) -> Any:
        import httpx

        key = {"api-key": self.values["QDRANT_API_KEY"]}
        return httpx.Client(base_url=self.values["QDRANT_URL"], headers=key, timeout=3600)

    def fill(self, service: str, megabytes: int) -> None:
        """As many bytes in the store, in place of what there was."""
        fillers = {"timescaledb": self.fill_postgres, "redis": self.fill_redis, "qdrant": self.fill_qdrant}
        fillers[service](megabytes)

    def fill_postgres(self, megabytes: int) -> None:
        rng = random.Random(1)
        self.sql("DROP TABLE IF EXISTS public.bench")
        self.sql("CREATE TABLE public.bench (id bigint PRIMARY KEY, path text, body text, at timestamptz)")
        rows = (
            (n, f"docs/{n % 977}/{n}.md", text(rng, TEXT), datetime.now(tz=UTC))
            for n in range(megabytes * 1000 * 1000 // TEXT)
        )
        self.sql("COPY public.bench FROM STDIN", rows)
        self.sql("CREATE INDEX ON public.bench (path)")

    def fill_redis(self, megabytes: int) -> None:
        rng, client = random.Random(2), self.redis()
        client.flushall()
        for start in range(0, megabytes * 1000, BLOCK):
            with client.pipeline(transaction=False) as batch:
                for n in range(start, min(start + BLOCK, megabytes * 1000)):
                    batch.set(f"answer:{n}", text(rng, KEY_BYTES), ex=86400 * 30 if n % 2 else None)
                batch.execute()

    def fill_qdrant(self, megabytes: int) -> None:
        import numpy

        rng, numbers = random.Random(3), numpy.random.default_rng(3)
        shards = {"shard_number": 4, "replication_factor": 1} if RUNTIME == "docker" else {}
        with self.qdrant() as client:
            client.delete("/collections/bench", params={"wait": "true"})
            body = {"vectors": {"size": DIMENSIONS, "distance": "Cosine"}, **shards}
            client.put("/collections/bench", json=body).raise_for_status()
            total = megabytes * 1000 * 1000 // (DIMENSIONS * 4 + TEXT)
            for start in range(0, total, 500):
                vectors = numpy.round(numbers.random((min(500, total - start), DIMENSIONS)), 6).tolist()
                points = [
                    {"id": start + n, "vector": vector, "payload": {"text": text(rng, TEXT), "path": f"docs/{n}.md"}}
                    for n, vector in enumerate(vectors)
                ]
                answer = client.put("/collections/bench/points", params={"wait": "true"}, json={"points": points})
                answer.raise_for_status()


# --- without ragops --------------------------------------------------------------------------------------------------


def engines(made: Platform) -> list[Engine]:
    return [
        Engine(
            "TimescaleDB" if RUNTIME == "docker" else "PostgreSQL",
            "timescaledb",
            "`pg_dump -Fc`",
            lambda to: dump_postgres(made, to),
            lambda path: prove_postgres(made, path),
        ),
        Engine(
            "Redis" if RUNTIME == "docker" else "Valkey",
            "redis",
            "`BGSAVE`, then copy",
            lambda to: dump_redis(made, to),
            lambda path: prove_redis(made, path),
        ),
        Engine(
            "Qdrant" if RUNTIME == "docker" else "Qdrant Edge",
            "qdrant",
            "shard snapshots, downloaded",
            lambda to: dump_qdrant(made, to),
            prove_qdrant,
        ),
    ]


def dump_postgres(made: Platform, folder: Path) -> Path:
    target, port = folder / "rag.dump", made.values["TIMESCALEDB_PORT"]
    if RUNTIME == "docker":
        with target.open("wb") as stream:
            command = [
                "docker",
                "exec",
                made.endpoints["timescaledb"]["handle"],
                "pg_dump",
                "-Fc",
                "-U",
                "rag_owner",
                "rag",
            ]
            subprocess.run(command, stdout=stream, check=True, timeout=3600)
        return target
    from ragops.runtimes.embedded.programs import locate

    environment = {**os.environ, "PGPASSWORD": made.secrets["timescaledb_owner"]}
    command = [
        str(locate("pg_dump")),
        "-Fc",
        "-h",
        "127.0.0.1",
        "-p",
        port,
        "-U",
        "rag_owner",
        "-f",
        str(target),
        "rag",
    ]
    subprocess.run(command, env=environment, check=True, timeout=3600)
    return target


def dump_redis(made: Platform, folder: Path) -> Path:
    client, target = made.redis(), folder / "dump.rdb"
    saves = client.info("persistence")["rdb_saves"]
    client.bgsave()
    while client.info("persistence")["rdb_bgsave_in_progress"] or client.info("persistence")["rdb_saves"] == saves:
        time.sleep(0.02)
    if RUNTIME == "docker":
        name = made.endpoints["redis"]["handle"]
        directory = client.config_get("dir")["dir"]
        subprocess.run(
            ["docker", "cp", f"{name}:{directory}/dump.rdb", str(target)], check=True, timeout=3600, capture_output=True
        )
    else:
        shutil.copyfile(Path(client.config_get("dir")["dir"]) / "dump.rdb", target)
    sync(target)
    return target


def dump_qdrant(made: Platform, folder: Path) -> Path:
    to = folder / "qdrant"
    to.mkdir()
    urls = [node["url"] for node in made.endpoints["qdrant"].get("nodes", [])] or [made.values["QDRANT_URL"]]
    done: set[int] = set()
    for url in urls:
        with made.qdrant() as client:
            client.base_url = url
            for shard in client.get("/collections/bench/cluster").json()["result"]["local_shards"]:
                if shard["shard_id"] in done:
                    continue
                done.add(shard["shard_id"])
                path = f"/collections/bench/shards/{shard['shard_id']}/snapshots"
                name = client.post(path).json()["result"]["name"]
                target = to / f"{shard['shard_id']}.snapshot"
                with target.open("wb") as stream, client.stream("GET", f"{path}/{name}") as answer:
                    for block in answer.iter_bytes(1 << 20):
                        stream.write(block)
                sync(target)
                client.delete(f"{path}/{name}")
    return to


def prove_postgres(made: Platform, dump: Path) -> None:
    """All of the archive, read and decompressed into nothing."""
    from ragops.runtimes.embedded.programs import locate

    command = [str(locate("pg_restore"))]
    if RUNTIME == "docker":
        command = ["docker", "exec", "-i", made.endpoints["timescaledb"]["handle"], "pg_restore"]
    with dump.open("rb") as stream, Path(os.devnull).open("wb") as nothing:
        subprocess.run([*command, "-f", "-"], stdin=stream, stdout=nothing, check=True, timeout=3600)


def prove_redis(made: Platform, dump: Path) -> None:
    """The engine's checker."""
    from ragops.runtimes.embedded.programs import locate

    command = ["docker", "exec", "-i", made.endpoints["redis"]["handle"], "redis-check-rdb"]
    if RUNTIME != "docker":
        link = dump.with_name("valkey-check-rdb")
        link.symlink_to(locate("valkey-server"))
        command = [str(link)]
    with dump.open("rb") as stream:
        subprocess.run([*command, "/dev/stdin"], stdin=stream, stdout=subprocess.DEVNULL, check=True, timeout=3600)


def prove_qdrant(folder: Path) -> None:
    """Every snapshot opened and counted by the engine's library."""
    import qdrant_edge as edge

    for snapshot in folder.iterdir():
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            edge.EdgeShard.unpack_snapshot(str(snapshot), f"{scratch}/shard")
            opened = edge.EdgeShard.load(f"{scratch}/shard")
            opened.count(edge.CountRequest(exact=True))
            opened.close()


def sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def size_of(path: Path) -> int:
    return sum(item.stat().st_size for item in ([path] if path.is_file() else path.iterdir()))


# --- both, in turn ---------------------------------------------------------------------------------------------------


def ours(made: Platform, service: str, what: str) -> dict[str, Any]:
    done = run([sys.executable, str(HERE / "backup_one.py"), str(made.folder), service, what], HERE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def theirs(engine: Engine, folder: Path) -> tuple[float, float, int]:
    """Seconds for the dump alone, seconds with reading it, bytes."""
    where = Path(tempfile.mkdtemp(dir=folder))
    started = time.perf_counter()
    target = engine.dump(where)
    seconds, size = time.perf_counter() - started, size_of(target)
    engine.prove(target)
    proven = time.perf_counter() - started
    shutil.rmtree(where)
    return seconds, proven, size


def forget(made: Platform) -> None:
    """Recovery points of the rounds before: the disk is for this one."""
    shutil.rmtree(made.folder / "backups", ignore_errors=True)


def row(made: Platform, engine: Engine, size: str) -> str:
    taken, tool, proven, back, sizes = [], [], [], [], (0, 0)
    for _ in range(ROUNDS[size]):
        forget(made)
        mine = ours(made, engine.service, "backup")
        seconds, read, naive = theirs(engine, made.folder)
        restored = ours(made, engine.service, "restore")
        drop_kept(made)
        taken.append(mine)
        tool.append(seconds)
        proven.append(read)
        back.append(restored)
        sizes = (mine["size"], naive)
    rates, fair = (spread([a / b["seconds"] for a, b in zip(others, taken, strict=True)]) for others in (tool, proven))
    memory = max(item["memory"] for item in (*taken, *back)) >> 20
    return (
        f"| {engine.title}, {taken[0]['plain'] / 1e6:.0f} MB as the engine writes it | {engine.command} |"
        f" {spread([item['seconds'] for item in taken])} s | {spread(tool)} s | {rates} | {fair} | {sizes[0] / 1e6:.0f} MB |"
        f" {sizes[1] / 1e6:.0f} MB | {spread([item['seconds'] for item in back])} s | {memory} MiB |"
    )


def drop_kept(made: Platform) -> None:
    """What restores set aside, which would fill the disk."""
    for (name,) in made.sql("SELECT datname FROM pg_database WHERE datname ~ '_before_'"):
        made.sql(f'DROP DATABASE "{name}"')
    for folder in made.folder.glob(".ragops/data/default/redis.before-restore-*"):
        shutil.rmtree(folder)


def make(folder: Path) -> Platform:
    def change(values: dict[str, Any]) -> None:
        values["redis"]["maxmemory"] = "4gb"
        if os.environ.get("ENCRYPT"):
            identity = json.loads(run([*RAGOPS, "--json", "backup", "keygen", "identity.txt"], folder).stdout)
            values["backup"] |= {"recipients": [identity["recipient"]], "identity_file": "identity.txt"}

    write_project(folder, RUNTIME, change)
    run([*RAGOPS, "up", "--yes"], folder)
    run([*RAGOPS, "migrate", "up"], folder)
    return Platform(folder)


def publish_rows(rows: list[str]) -> None:
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, runtime {RUNTIME}, {datetime.now(tz=UTC):%Y-%m-%d}"
    how = "encrypted" if os.environ.get("ENCRYPT") else "not encrypted"
    head = (
        "| data | against | ragops, read back | other | rate of ragops / other, bar 0.8 |"
        " the same, other read back too | on disk | other | restore | memory |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    note = f"`make bench-backup` on {machine}; median (least-most) of rounds in turn; {how}."
    section = "bench-backup" if RUNTIME == "embedded" else "bench-backup-docker"
    publish(section, f"{note}\n\n{head}\n" + "\n".join(rows))


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="ragops-bench-"))
    folder.chmod(0o755)
    rows: list[str] = []
    try:
        made = make(folder)
        for size, megabytes in SIZES.items():
            for engine in [engine for engine in engines(made) if engine.service in SERVICES and megabytes]:
                print(f"filling {engine.title} with {megabytes} MB", file=sys.stderr, flush=True)
                made.fill(engine.service, megabytes)
                rows.append(row(made, engine, size))
                publish_rows(rows)
    finally:
        subprocess.run([*RAGOPS, "down", "--purge-data", "--yes"], cwd=folder, capture_output=True, timeout=300)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
