"""A platform with documents, vectors and keys in it, and an encrypted recovery point of all that."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import redis

from ragops.config.load import load
from ragops.operations.session import Session
from tests.command_line import Project

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.recovery.point import RecoveryPoint
    from ragops.recovery.repositories import Repositories

DOCUMENTS, KEYS = 30, 60
_COLLECTION = {
    "name": "manuals", "directory": "manuals", "embeddingModel": "hashing-384-v1", "chunkSize": 100, "chunkOverlap": 10,
    "fileTypes": ["md"], "recursive": True, "enabled": True,
}  # fmt: skip


@dataclass(frozen=True)
class Loaded(Project):
    """A project that is up, `identity` opens its recovery points, `token` opens its gateway."""

    identity: Path
    token: str

    def session(self) -> Session:
        return Session(load(self.root / "ragops.yaml", None, {}), "a test", lambda _text: None)

    def repositories(self) -> Repositories:
        return self.session().repositories(self.identity)

    def point(self, ident: str = "latest") -> RecoveryPoint:
        return self.repositories().primary.get(ident)

    def take(self) -> RecoveryPoint:
        return self.point(self.run("backup", "run", "--quiet").out.strip())


def make(root: Path, ragops: Any) -> Loaded:
    """Fill the project in `root`, bring it up and back it up."""
    identity = root.parent / "identity.txt"
    recipient = ragops("backup", "keygen", str(identity), cwd=root).out.strip()
    config = root / "ragops.yaml"
    backup = f"backup:\n  metrics_file: metrics.prom\n  recipients: [{recipient}]\n"
    users = "redis:\n  users: {worker: {role: write, keys: ['*']}}\n"
    config.write_text(config.read_text().replace("backup:\n", backup, 1).replace("redis:\n", users, 1))
    (root / "manuals").mkdir()
    for number in range(DOCUMENTS):
        (root / "manuals" / f"{number}.md").write_text(f"# Page {number}\n\nRotating the secret number {number}.\n")
    (root / "collections-config.json").write_text(json.dumps({"collections": [_COLLECTION]}))
    bare = Project(root, ragops)
    for line in ("up --yes", "migrate up", "migrate json-to-db collections-config.json", "ingest"):
        bare.run(*line.split())
    with redis_of(root, ragops) as client:
        for number in range(KEYS):
            client.set(f"key:{number}", number)
        client.rpush("list", "a", "b")
        client.hset("hash", "field", "value")
        client.set("bytes", b"\xff\xfe")
    token = bare.run("token", "issue", "reader").out.strip()
    bare.run("backup", "run")
    return Loaded(root, ragops, identity, token)


def outputs(root: Path, ragops: Any) -> dict[str, str]:
    found: dict[str, str] = ragops("outputs", "--format", "json", "--show-secrets", cwd=root).json()
    return found


def redis_of(root: Path, ragops: Any) -> redis.Redis:
    return redis.Redis.from_url(outputs(root, ragops)["REDIS_URL"])


def counts(root: Path, ragops: Any) -> dict[str, int]:
    """What the application sees with its own passwords."""
    with redis_of(root, ragops) as client:
        keys = sum(1 for key in client.scan_iter() if key.startswith((b"key:", b"list", b"hash", b"bytes")))
    with psycopg.connect(outputs(root, ragops)["TIMESCALEDB_URL"]) as connection:
        chunks = connection.execute("SELECT count(*) FROM rag.chunks").fetchone()
        documents = connection.execute("SELECT count(*) FROM rag.documents").fetchone()
    assert chunks is not None
    assert documents is not None
    return {"keys": keys, "chunks": chunks[0], "documents": documents[0]}
