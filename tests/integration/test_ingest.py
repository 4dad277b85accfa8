"""Ingestion on a real PostgreSQL and the real development engine, killed wherever it can be killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from ragops.adapters.postgres import connect
from ragops.embedding.hashing import HashingEmbedder
from ragops.embedding.spec import ModelSpec
from ragops.errors import (
    ExitCode,
    InvalidInputError,
    LockedError,
    MissingError,
    RagopsError,
    UnhealthyError,
    UsageError,
)
from ragops.ingest import jobs
from ragops.ingest.document_store import open_store
from ragops.operations.data import collections
from ragops.operations.data.ingest import drop_old, ingest
from ragops.operations.data.models import Models
from ragops.operations.observe import consistency
from ragops.services.contract import Endpoint, Login, Status
from ragops.services.timescaledb.schema import migrations as schema
from tests.ports import free_port
from tests.unit.embedding.model_server import ModelServer
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "ingest-test-key"
EMBEDDER = HashingEmbedder(64)


class Store:
    """The development engine as a process of ours, and what its access log says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.port = free_port()
        (folder / "key").write_text(KEY)
        config = {"host": "127.0.0.1", "port": self.port, "storage": str(folder / "data")}
        (folder / "edge.json").write_text(json.dumps({**config, "api_key_file": str(folder / "key")}))
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers={"api-key": KEY}, trust_env=False)
        login = Login("", "qdrant_api_key", SecretStr(KEY))
        self.endpoint = Endpoint(
            "qdrant", "qdrant-edge", "", "test", "127.0.0.1", self.port, logins={"application": login}
        )
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "ragops.devserver.qdrant", str(self.folder / "edge.json")]
        self.process = subprocess.Popen(command, stderr=(self.folder / "log").open("ab"), stdout=subprocess.DEVNULL)
        wait_until(self._answers)

    def _answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return self.client.get("/healthz").status_code == 200
        return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)

    def writes(self) -> int:
        """How many requests so far could have changed something."""
        lines = [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]
        requests = [(line["method"], line["path"]) for line in lines if "method" in line]
        return sum(method == "PUT" or path.endswith("/delete") for method, path in requests)

    def points(self, name: str) -> dict[str, dict[str, Any]]:
        body = {"limit": 100_000, "with_payload": True}
        answer = self.client.post(f"/collections/{name}/points/scroll", json=body).raise_for_status().json()
        return {point["id"]: point["payload"] for point in answer["result"]["points"]}

    def aliases(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.client.get("/aliases").raise_for_status().json()["result"]["aliases"]
        return found

    def post(self, path: str, body: dict) -> Any:
        return self.client.post(path, json=body).raise_for_status().json()["result"]


@dataclass
class World:
    """Both stores and one collection with its directory."""

    database: Endpoint
    store: Store
    directory: Path
    name: str = "docs"

    def ingest(self, *names: str, embedder: Any = EMBEDDER, on_progress: Callable = lambda _: None):
        return ingest(self.database, self.store.endpoint, embedder, names or [self.name], on_progress)

    def run(self, **options: Any):
        return self.ingest(**options).collections[0]

    def sql(self, statement: str, parameters: tuple = (), role: str = "operator") -> list[tuple]:
        login = self.database.logins[role]
        database = self.database.options["database"]
        with connect(
            self.database.host, self.database.port, database, login.user, login.password, autocommit=True
        ) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def write(self, path: str, content: str | bytes) -> None:
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    def wipe(self) -> None:
        self.sql("TRUNCATE rag.documents, rag.chunks, rag.ingestion_jobs")
        self.store.client.delete(f"/collections/{self.name}")
        shutil.rmtree(self.directory)
        self.directory.mkdir()

    def add_collection(self, name: str, directory: Path | str, **columns: Any) -> None:
        self.sql("INSERT INTO rag.embedding_models (name) VALUES (%s) ON CONFLICT DO NOTHING", (EMBEDDER.name,))
        values = {"chunk_size": 80, "chunk_overlap": 10, "file_types": ["md", "txt"], **columns}
        self.sql(
            f"INSERT INTO rag.collections (name, directory, embedding_model, {', '.join(values)})"
            f" VALUES (%s, %s, %s{', %s' * len(values)})",
            (name, str(directory), EMBEDDER.name, *values.values()),
        )

    def state(self) -> dict[str, Any]:
        """Everything that matters, without the numbers that another history gives to the same documents."""
        documents = self.sql("SELECT id, path, content_hash, size_bytes, status, error FROM rag.documents")
        paths = {row[0]: row[1] for row in documents}
        chunks = self.sql("SELECT id::text, document_id, position, content, point_collection FROM rag.chunks")
        points = self.store.points(self.name)
        for point in points.values():
            assert paths[point.pop("document_id")] == point["path"]
        return {
            "documents": sorted(row[1:] for row in documents),
            "chunks": sorted((row[0], paths[row[1]], *row[2:]) for row in chunks),
            "points": points,
        }

    def check(self) -> None:
        """Chunks and points are the same, and say the same."""
        rows = self.sql(
            "SELECT c.id::text, d.path, c.position, c.content, c.content_hash, d.id"
            " FROM rag.chunks c JOIN rag.documents d ON d.id = c.document_id"
            " WHERE d.collection_id = (SELECT id FROM rag.collections WHERE name = %s)",
            (self.name,),
        )
        expected = {
            row[0]: {
                "path": row[1], "position": row[2], "text": row[3], "content_hash": row[4], "document_id": row[5],
                "collection": self.name,
            }
            for row in rows
        }  # fmt: skip
        found = self.store.points(self.name)
        for point in found.values():
            for key in ("metadata", "heading"):  # of documents that have some
                point.pop(key, None)
        assert found == expected


@pytest.fixture(scope="module")
def store(root: Path) -> Iterator[Store]:
    made = Store(root / "edge")
    yield made
    made.kill()


@pytest.fixture(scope="module")
def migrated(postgres) -> Endpoint:
    endpoint = postgres.endpoint
    login = endpoint.logins["operator"]
    with connect(
        endpoint.host, endpoint.port, endpoint.options["database"], login.user, login.password, autocommit=True
    ) as connection:
        schema.apply(connection, application_role=endpoint.logins["application"].user, lock_timeout=5)
    return endpoint


@pytest.fixture
def world(migrated: Endpoint, store: Store, tmp_path: Path) -> Iterator[World]:
    made = World(migrated, store, tmp_path / "docs")
    made.directory.mkdir()
    made.add_collection("docs", made.directory)
    yield made
    made.sql("TRUNCATE rag.documents, rag.chunks, rag.ingestion_jobs")
    made.sql("DELETE FROM rag.collections")
    for found in store.client.get("/collections").json()["result"]["collections"]:
        store.client.delete(f"/collections/{found['name']}")


def words(start: int, count: int = 60) -> str:
    return " ".join(f"word{number}" for number in range(start, start + count)) + ".\n"


def fill(world: World) -> None:
    world.write("a.md", "# Title\n\n" + words(0))
    world.write("deep/er/b.txt", words(100))
    world.write("c.md", words(200))
    world.write("d.md", words(300))


def mutate(world: World) -> None:
    """One of everything that can happen to a file."""
    world.write("a.md", "# Another title\n\n" + words(0) + words(900))
    (world.directory / "c.md").rename(world.directory / "moved.md")
    (world.directory / "d.md").unlink()
    world.write("new.md", words(400))
    world.write("bad.md", b"caf\0")


def test_first_run_then_nothing_to_do(world: World) -> None:
    fill(world)
    first = world.run()
    assert (first.added, first.failed, first.chunks) == (4, (), first.points)
    assert first.points > 10
    world.check()
    versions = "SELECT id::text, xmin::text FROM rag.documents UNION ALL SELECT id::text, xmin::text FROM rag.chunks"
    before, writes = sorted(world.sql(versions)), world.store.writes()

    second = world.run()

    assert (second.unchanged, second.chunks, second.points) == (4, 0, first.points)
    assert (second.added, second.changed, second.moved, second.deleted, second.notes) == (0, 0, 0, 0, ())
    assert sorted(world.sql(versions)) == before
    assert world.store.writes() == writes
    jobs = world.sql(
        "SELECT status, documents_seen, documents_changed, chunks_written FROM rag.ingestion_jobs ORDER BY 3"
    )
    assert jobs == [("done", 4, 0, 0), ("done", 4, 4, first.chunks)]


def test_every_kind_of_change(world: World) -> None:
    fill(world)
    world.run()
    ids = dict(world.sql("SELECT path, id FROM rag.documents"))
    mutate(world)

    report = world.run()

    assert (report.added, report.changed, report.moved, report.deleted, report.unchanged) == (1, 1, 1, 1, 1)
    assert [(one.path, one.reason) for one in report.failed] == [("bad.md", "binary: a NUL byte at 3")]
    world.check()
    rows = {path: (id, status) for path, id, status in world.sql("SELECT path, id, status FROM rag.documents")}
    assert rows["moved.md"] == (ids["c.md"], "indexed")  # the document is the same, wherever its file is
    assert rows["a.md"] == (ids["a.md"], "indexed")
    assert rows["bad.md"][1] == "failed"
    assert "d.md" not in rows
    assert "c.md" not in rows
    texts = " ".join(point["text"] for point in world.store.points("docs").values())
    assert "word900" in texts
    assert "word300" not in texts


def test_a_bad_file_is_said_every_time_and_written_once(world: World) -> None:
    fill(world)
    world.write("bad.md", b"text\0text")
    report = world.ingest()
    assert report.exit_code is ExitCode.FAILED
    assert report.collections[0].added == 4
    before = world.sql("SELECT xmin::text, status, error FROM rag.documents WHERE path = 'bad.md'")
    assert before[0][1:] == ("failed", "binary: a NUL byte at 4")
    assert world.run().failed[0].reason == "binary: a NUL byte at 4"
    assert world.sql("SELECT xmin::text, status, error FROM rag.documents WHERE path = 'bad.md'") == before

    world.write("bad.md", words(1))
    report = world.run()
    assert (report.changed, report.failed) == (1, ())
    world.check()


def test_a_good_file_that_turned_bad_is_not_found_any_more(world: World) -> None:
    fill(world)
    before = world.run().points
    world.write("a.md", b"\xff\xfe\x00")
    report = world.run()
    assert len(report.failed) == 1
    assert report.points < before
    world.check()
    assert "a.md" not in {point["path"] for point in world.store.points("docs").values()}


def test_files_that_a_new_rule_leaves_out_are_deleted(world: World) -> None:
    fill(world)
    before = world.run()
    assert (before.added, before.left_out_counts) == (4, {})
    world.write(".gitignore", "a.md\n")
    world.sql("UPDATE rag.collections SET extra = %s WHERE name = 'docs'", ('{"exclude": ["er/"]}',))
    report = world.run()
    assert (report.deleted, report.unchanged, report.failed) == (2, 2, ())
    assert {one.path: one.reason for one in report.left_out} == {
        ".gitignore": "hidden", "a.md": "by .gitignore", "deep/er/": "by `exclude`",
    }  # fmt: skip
    world.check()

    world.sql("UPDATE rag.collections SET extra = %s WHERE name = 'docs'", ('{"exclude": ["*"]}',))
    refused = world.ingest().collections[0].refused
    assert refused is not None  # a rule that takes everything needs --allow-empty
    assert refused.code == "directory_empty"
    world.sql("UPDATE rag.collections SET extra = %s WHERE name = 'docs'", ('{"exclude": "b.md"}',))
    refused = world.ingest().collections[0].refused
    assert refused is not None
    assert refused.code == "collection_key_invalid"
    world.sql("UPDATE rag.collections SET extra = '{}' WHERE name = 'docs'")


def test_a_document_that_cannot_be_converted_is_converted_once(world: World) -> None:
    world.sql("UPDATE rag.collections SET file_types = '{md,json}' WHERE name = 'docs'")
    fill(world)
    world.write("broken.json", '{"a": ')
    world.write("good.json", '{"title": "Zoo", "animal": "pelican"}')
    first = world.run()
    assert [(one.path, one.reason) for one in first.failed] == [("broken.json", "not JSON: line 1: Expecting value")]
    payloads = {point["path"]: point for point in world.store.points("docs").values()}
    assert (payloads["good.json"]["text"], payloads["good.json"]["metadata"]) == (
        "title: Zoo\nanimal: pelican", {"title": "Zoo"},
    )  # fmt: skip
    before = world.sql("SELECT xmin::text, content_hash FROM rag.documents WHERE path = 'broken.json'")
    assert world.run().failed == first.failed
    assert world.sql("SELECT xmin::text, content_hash FROM rag.documents WHERE path = 'broken.json'") == before
    assert before[0][1] != "0" * 64  # its content is known, so that the next run need not convert it

    world.write("broken.json", '{"a": 1}')
    report = world.run()
    assert (report.changed, report.failed) == (1, ())
    world.check()
    world.sql("UPDATE rag.collections SET file_types = '{md,txt}' WHERE name = 'docs'")


def test_a_touched_file_is_not_chunked_again(world: World) -> None:
    fill(world)
    world.run()
    os.utime(world.directory / "a.md", (1, 1))
    writes = world.store.writes()
    report = world.run()
    assert (report.unchanged, report.chunks) == (4, 0)
    assert world.store.writes() == writes
    assert world.sql("SELECT extract(epoch FROM modified_at)::int FROM rag.documents WHERE path = 'a.md'") == [(1,)]


def test_other_chunks_are_made_where_chunking_or_embedder_changed(world: World) -> None:
    fill(world)
    first = world.run()
    world.sql("UPDATE rag.collections SET chunk_size = 40")
    second = world.run()
    assert second.changed == 4
    assert second.points > first.points
    assert any("ingested again" in note for note in second.notes)
    world.check()

    class Other(HashingEmbedder):
        def __init__(self) -> None:
            super().__init__(64)
            self.name = "another"

    assert world.run(embedder=Other()).changed == 4
    assert world.run(embedder=Other()).changed == 0


def test_other_vector_sizes_are_refused_and_nothing_is_deleted(world: World) -> None:
    fill(world)
    points = world.run().points
    report = world.ingest(embedder=HashingEmbedder(32))
    refused = report.collections[0].refused
    assert refused is not None
    assert (refused.code, report.exit_code) == ("vectors_differ", ExitCode.INTEGRITY)
    assert "ragops ingest --rebuild docs" in refused.hint
    assert len(world.store.points("docs")) == points
    assert world.run().unchanged == 4


def test_what_lost_its_counterpart_is_mended(world: World) -> None:
    fill(world)
    world.run()
    whole = world.state()
    some = sorted(world.store.points("docs"))
    strange = "00000000-0000-4000-8000-000000000001"
    world.store.post("/collections/docs/points/delete?wait=true", {"points": some[:3]})
    ours = {"id": "00000000-0000-4000-8000-000000000002", "vector": [1.0] * 64, "payload": {"collection": "docs"}}
    theirs = {"id": strange, "vector": [1.0] * 64, "payload": {"of": "somebody else"}}
    world.store.client.put(
        "/collections/docs/points?wait=true", json={"points": [ours, theirs, {**theirs, "id": 7}]}
    ).raise_for_status()

    report = world.run()

    assert report.repaired == 1 + report.changed
    assert report.changed >= 1
    assert any("2 points in the vector store are not" in note for note in report.notes)
    world.store.post("/collections/docs/points/delete?wait=true", {"points": [strange, 7]})
    assert world.state() == whole
    world.store.client.delete("/collections/docs")
    assert world.run().changed == 4
    assert world.state() == whole


def test_directories_that_cannot_be_read_lose_nothing(world: World) -> None:
    fill(world)
    world.add_collection("other", world.directory)
    world.run()
    world.directory.rename(world.directory.with_name("away"))
    report = world.ingest("docs", "other")
    assert [one.refused and one.refused.code for one in report.collections] == ["directory_missing"] * 2
    assert report.exit_code is ExitCode.MISSING
    world.check()


def test_an_empty_directory_empties_a_collection_only_when_told_so(world: World) -> None:
    world.write("a.md", "the only document")
    world.run()
    (world.directory / "a.md").unlink()
    world.write("kept.pdf", "of no wanted type")
    before = world.state()
    report = world.ingest()
    refusal = report.collections[0].refused
    assert refusal
    assert (refusal.code, report.exit_code) == ("directory_empty", ExitCode.FAILED)
    assert "--allow-empty" in refusal.hint
    assert world.state() == before
    assert before["points"]
    [told] = ingest(world.database, world.store.endpoint, EMBEDDER, [world.name], allow_empty=True).collections
    assert (told.refused, told.deleted, told.points) == (None, 1, 0)


def test_which_collections(world: World) -> None:
    fill(world)
    world.add_collection("off", world.directory, enabled=False)
    world.add_collection("relative", "docs")
    with pytest.raises(UsageError, match="cannot find collection doc, nothing") as caught:
        world.ingest("doc", "nothing")
    assert "docs" in caught.value.hint
    report = ingest(world.database, world.store.endpoint, EMBEDDER, [], root=world.directory.parent)
    assert [(one.name, one.skipped, one.added) for one in report.collections] == [
        ("docs", False, 4), ("off", True, 0), ("relative", False, 4),
    ]  # fmt: skip


def test_two_runs_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "LOCK_SECONDS", 0.0)
    fill(world)
    with open_store(world.database) as rows:
        rows.lock(rows.collections()[0])
        refused = world.ingest().collections[0].refused
        assert refused is not None
        assert refused.code == "ingest_running"
        assert refused.exit_code is LockedError.default_exit
    assert world.run().added == 4


def test_the_lock_of_a_run_that_was_killed_in_a_long_statement_is_gone_soon(world: World) -> None:
    """A server that answers nothing yet does not see that its client is gone, unless it is told to look."""
    fill(world)
    if (child := os.fork()) == 0:
        try:
            with open_store(world.database) as rows:
                rows.lock(rows.collections()[0])
                rows._all("SELECT pg_sleep(60)")
        finally:
            os._exit(1)
    asleep = "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND wait_event = 'PgSleep'"
    wait_until(lambda: bool(world.sql(asleep)))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert world.run().added == 4


def test_no_schema(world: World) -> None:
    world.sql("CREATE DATABASE bare")
    try:
        bare = replace(
            world.database,
            options={"database": "bare"},
            logins={**world.database.logins, "application": world.database.logins["operator"]},
        )
        with pytest.raises(MissingError, match="no rag schema"):
            ingest(bare, world.store.endpoint, EMBEDDER, [])
    finally:
        world.sql("DROP DATABASE bare WITH (FORCE)")


def test_each_collection_has_the_model_that_it_names(world: World) -> None:
    world.write("a.md", words(0))
    names = {"docs": "small", "large": "large", "wide": "hashing-32-v1", "lost": "nothing", "down": "down"}
    with ModelServer("ollama", 768) as small, ModelServer("openai", 1024) as large:
        url = {"small": ("ollama", small.url), "large": ("openai", large.url), "down": ("ollama", "http://127.0.0.1:9")}
        specs = {name: ModelSpec(kind=kind, model=name, url=where) for name, (kind, where) in url.items()}
        for name, model in names.items():
            if name != "docs":
                world.add_collection(name, world.directory)
            world.sql("INSERT INTO rag.embedding_models (name) VALUES (%s) ON CONFLICT DO NOTHING", (model,))
            world.sql("UPDATE rag.collections SET embedding_model = %s WHERE name = %s", (model, name))
        report = ingest(world.database, world.store.endpoint, Models(specs, str), [])
    sizes = {}
    for name in ("docs", "large", "wide"):
        described = world.store.client.get(f"/collections/{name}").json()["result"]["config"]["params"]["vectors"]
        sizes[name] = described["size"]
    assert sizes == {"docs": 768, "large": 1024, "wide": 32}
    by_name = {one.name: one for one in report.collections}
    assert all(by_name[name].added == 1 for name in sizes)
    assert [len(body["input"]) for body in large.asked] == [1, by_name["large"].chunks]
    lost, down = by_name["lost"].refused, by_name["down"].refused
    assert lost
    assert down
    assert (lost.code, down.code) == ("embedding_model_unknown", "ollama_unreachable")
    assert "there are small, large, down, wordllama-l2-256-v2" in lost.message
    made = "SELECT details->'way'->>'embedder' FROM rag.ingestion_jobs WHERE details ? 'way' ORDER BY 1"
    assert world.sql(made) == [("hashing-32-v1",), ("large",), ("small",)]


# --- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.fault
def test_vector_store_goes_down_half_way(world: World) -> None:
    for number in range(250):
        world.write(f"{number:03}.md", words(number, 20))

    def stop_it(progress: Any) -> None:
        if progress.stage == "store":
            world.store.kill()

    with pytest.raises(UnhealthyError) as caught:
        world.run(on_progress=stop_it)
    assert (caught.value.code, caught.value.exit_code) == ("qdrant_unreachable", ExitCode.UNHEALTHY)
    assert world.sql("SELECT status, error LIKE 'qdrant_unreachable%%' FROM rag.ingestion_jobs") == [("failed", True)]
    world.store.start()
    report = world.run()
    assert report.added + report.changed + report.unchanged == 250
    assert report.unchanged >= 100  # and those whose points were stored ahead
    world.check()


class Picky(HashingEmbedder):
    """Refuses every text with one of some words."""

    def __init__(self, *words: str) -> None:
        super().__init__(64)
        self.words = words

    def embed(self, texts):
        if any(word in text for text in texts for word in self.words):
            raise RagopsError("ollama_refused", "not this one")
        return super().embed(texts)


@pytest.mark.fault
def test_a_chunk_that_the_embedder_refuses_costs_that_chunk(world: World) -> None:
    fill(world)
    whole = world.run()
    world.wipe()
    fill(world)
    report = world.ingest(embedder=Picky("word310"))
    [one] = report.collections
    [refused] = one.refused_chunks
    assert (one.added, one.failed, one.points) == (4, (), whole.points - 1)
    assert (refused.path, refused.reason, report.exit_code) == ("d.md", "not this one", ExitCode.FAILED)
    world.check()
    texts = [text for (text,) in world.sql("SELECT content FROM rag.chunks")]
    assert not any("word310" in text for text in texts)
    [(status, error)] = world.sql("SELECT status, error FROM rag.documents WHERE path = 'd.md'")
    assert (status, error) == ("indexed", f"chunk {refused.position} was refused: not this one")
    again = world.run()  # by an embedder that takes it
    assert (again.changed, again.refused_chunks, again.points) == (1, (), whole.points)
    world.check()


@pytest.mark.fault
def test_refused_texts_never_take_chunks_of_an_earlier_run(world: World) -> None:
    fill(world)
    before = world.run()
    world.write("d.md", "other " + words(700, 3))  # one chunk, which is refused
    [one] = world.ingest(embedder=Picky("word701")).collections
    assert [(failed.path, "every chunk" in failed.reason) for failed in one.failed] == [("d.md", True)]
    assert one.points == before.points
    world.check()
    assert world.run().changed == 1
    world.check()


@pytest.mark.fault
def test_chunks_that_an_embedder_cuts_are_counted_in_a_note(world: World) -> None:
    class Cutting(HashingEmbedder):
        cut = 5  # by runs before

        def embed(self, texts: list[str]) -> list[list[float]]:
            self.cut += sum(len(text) > 60 for text in texts)
            return super().embed(texts)

    world.write("long.md", "word " * 20)
    world.write("short.md", "word")
    embedder = Cutting()
    (note,) = [one for one in world.run(embedder=embedder).notes if "longer than the context" in one]
    assert int(note.split()[0]) == embedder.cut - 5 > 0
    assert not [one for one in world.run(embedder=embedder).notes if "longer than the context" in one]


def test_an_embedder_that_refuses_everything_is_at_fault_itself(world: World) -> None:
    fill(world)
    before = world.run()
    world.write("d.md", words(800))

    class Broken(Picky):
        def embed(self, texts):
            return super(Picky, self).embed(texts) if texts == ["ragops"] and not self.words else super().embed(texts)

    embedder = Broken()

    def spoil(progress: Any) -> None:
        embedder.words = ("",)

    with pytest.raises(UnhealthyError, match="not this one"):
        world.run(embedder=embedder, on_progress=spoil)
    assert len(world.store.points("docs")) == before.points
    assert world.run().changed == 1
    world.check()


def drop(world: World) -> list[str]:
    """Delete what is left of earlier builds; returns their collections of points."""
    gone = drop_old(world.database, world.store.endpoint, [world.name])
    return [one.points for one in gone.get(world.name, [])]


def check_settled(world: World, points: str) -> None:
    """Nothing is there but the live build and its alias."""
    found = world.store.client.get("/collections").json()["result"]["collections"]
    assert {one["name"] for one in found} == {points}
    assert world.store.aliases() == [{"alias_name": "docs@live", "collection_name": points}]
    assert world.sql("SELECT name FROM rag.collections") == [("docs",)]
    assert points_of(world) == (points, len(world.store.points(points)))


def forked(action: Callable[[], object], effects: int) -> int:
    """Run `action` in a child that SIGKILLs itself before its n-th effect on a store; returns how it ended."""
    child = os.fork()
    if child == 0:
        try:
            _armed(effects)
            action()
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _armed(effects: int) -> None:
    """Count what leaves this process: statements, copies, ends of transactions, requests."""
    left = [effects]

    def counted(original):
        def call(*arguments, **options):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        return call

    psycopg.Connection.execute = counted(psycopg.Connection.execute)
    psycopg.Cursor.copy = counted(psycopg.Cursor.copy)
    psycopg.Cursor.executemany = counted(psycopg.Cursor.executemany)
    psycopg.Transaction.__exit__ = counted(psycopg.Transaction.__exit__)
    httpx.Client.send = counted(httpx.Client.send)


@pytest.mark.fault
@pytest.mark.campaign(sample=0)
def test_killed_anywhere_and_run_again(world: World) -> None:
    def before() -> None:
        world.wipe()
        fill(world)
        assert world.run().added == 4
        mutate(world)
        os.utime(world.directory / "deep/er/b.txt", (5, 5))

    before()
    world.run()
    uninterrupted = world.state()

    effects, jobs = 0, "SELECT status FROM rag.ingestion_jobs ORDER BY started_at"
    while True:
        before()
        ended = forked(world.run, effects)
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        world.run()
        assert world.state() == uninterrupted, f"killed before effect {effects}"
        states = [status for (status,) in world.sql(jobs)]
        assert states in (["done"] * 2, ["done", "interrupted", "done"], ["done"] * 3), effects
        effects += 1
    assert effects > 30
    assert world.state() == uninterrupted


@pytest.mark.fault
def test_killed_in_a_move_before_the_old_path_is_used_again(world: World) -> None:
    """The ids of the moved document's old chunks are those of the file that takes its old place."""

    class Killer(HashingEmbedder):
        def embed(self, texts):
            if texts != ["ragops"]:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().embed(texts)

    world.sql("UPDATE rag.collections SET chunk_size = 5000, chunk_overlap = 0")
    content = words(0, 70_000)  # enough to be done before the other in a transaction of its own
    world.write("c.md", content)
    world.run()
    (world.directory / "c.md").rename(world.directory / "z.md")
    assert forked(lambda: world.run(embedder=Killer(64)), 1_000_000) == -signal.SIGKILL
    world.write("c.md", content)

    report = world.run()

    assert (report.added, report.changed, report.failed) == (1, 1, ())
    world.check()
    assert {point["path"] for point in world.store.points("docs").values()} == {"c.md", "z.md"}


# --- collections as things --------------------------------------------------------------------------------------------


def test_a_collection_is_made_changed_shown_and_removed(world: World) -> None:
    fill(world)
    made = collections.create(world.database, "manuals", {"directory": str(world.directory), "chunkSize": 90}, "alice")
    assert (made.chunk_size, made.chunk_overlap, made.source) == (90, 50, "database")
    assert world.ingest("manuals").exit_code == 0
    found = collections.show(world.database, world.store.endpoint, "manuals")
    assert found.is_whole
    assert found.row.indexed == 4
    assert found.points == found.chunks == {"manuals": len(world.store.points("manuals"))}

    assert collections.set_values(world.database, "manuals", {"fileTypes": ["txt"]}, "bob").file_types == ["txt"]
    assert world.ingest("manuals").collections[0].deleted == 3
    actors = world.sql("SELECT DISTINCT actor FROM rag.audit_log WHERE table_name = 'collections' ORDER BY 1")
    assert {("alice",), ("bob",)} <= set(actors)

    world.run()
    kept = world.state()
    gone = collections.remove(world.database, world.store.endpoint, "manuals", "carol")
    assert (gone.documents, gone.source) == (1, "database")
    assert 0 < gone.points["manuals"] < found.points["manuals"]
    assert world.store.client.get("/collections/manuals").status_code == 404
    assert world.sql("SELECT count(*) FROM rag.collections WHERE name = 'manuals'") == [(0,)]
    assert world.state()["points"] == kept["points"]
    assert world.sql("SELECT count(*) FROM rag.documents") == [(len(kept["documents"]) - 1,)]
    with pytest.raises(UsageError, match="cannot find collection manuals"):
        collections.remove(world.database, world.store.endpoint, "manuals", "carol")


def test_points_that_are_lost_show(world: World) -> None:
    fill(world)
    world.run()
    assert collections.show(world.database, world.store.endpoint, "docs").is_whole
    world.store.client.delete("/collections/docs").raise_for_status()
    found = collections.show(world.database, world.store.endpoint, "docs")
    assert found.points == {"docs": None}
    assert not found.is_whole


def test_a_removal_that_was_interrupted_is_continued(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(world)
    world.run()

    def lose(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ragops.services.timescaledb.collections.rows.delete", lose)
        with pytest.raises(KeyboardInterrupt):
            collections.remove(world.database, world.store.endpoint, "docs", "carol")
    assert world.ingest("docs").collections[0].skipped, "an ingest brings back what is being removed"
    assert collections.remove(world.database, world.store.endpoint, "docs", "carol").documents == 4


@pytest.mark.parametrize(
    "name", ["", "a b", "é", "-a", ".a", "a/b", "x" * 256, "ragops-health", "a__ragops-restore", "ragops-proven-1"]
)
def test_a_name_that_nothing_takes_is_refused(world: World, name: str) -> None:
    with pytest.raises(UsageError, match="cannot call a collection"):
        collections.create(world.database, name, {"directory": "/srv"}, "alice")


@pytest.mark.parametrize("name", ["docs", "Docs", "DOCS"])
def test_a_name_that_is_taken_is_refused(world: World, name: str) -> None:
    with pytest.raises(UsageError, match="there is a collection docs") as caught:
        collections.create(world.database, name, {"directory": "/srv"}, "alice")
    assert "`ragops collection set --help`" in caught.value.hint


@pytest.mark.parametrize(
    "values",
    [
        {"chunkSize": 0}, {"chunkOverlap": 512}, {"fileTypes": [""]}, {"directory": " "}, {"enabled": "yes"},
        {"exclude": ["[z-a]"]}, {"exclude": [""]}, {"exclude": ["caf\udce9"]}, {"maxFileSize": "2GiB"},
        {"maxFileSize": 0},
    ],
)  # fmt: skip
def test_values_that_no_file_could_have_are_refused(world: World, values: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        collections.create(world.database, "manuals", {"directory": "/srv", **values}, "alice")
    with pytest.raises(InvalidInputError):
        collections.set_values(world.database, "docs", values | {"chunkSize": values.get("chunkSize", 512)}, "alice")
    assert [row.name for row in collections.list_all(world.database)] == ["docs"]


def test_what_a_collection_leaves_out_is_set_and_cleared(world: World) -> None:
    fill(world)
    world.write("large.md", words(500, 600))
    values = {"directory": str(world.directory), "exclude": ["deep/", "*.no.md"], "maxFileSize": "2KiB"}
    made = collections.create(world.database, "manuals", values, "alice")
    left_out = {key: value for key, value in made.file_values.items() if value is not None}
    assert left_out == {"exclude": ["deep/", "*.no.md"], "maxFileSize": "2KiB"}
    first = world.ingest("manuals").collections[0]
    assert (first.added, first.left_out_counts) == (3, {"by `exclude`": 1, "larger than 2 KiB": 1})
    world.sql("""UPDATE rag.collections SET extra = extra || '{"owner": "me"}' WHERE name = 'manuals'""")
    kept = collections.set_values(world.database, "manuals", {"maxFileSize": None, "chunkSize": 90}, "bob")
    assert (kept.extra, kept.chunk_size) == ({"exclude": ["deep/", "*.no.md"], "owner": "me"}, 90)
    assert collections.set_values(world.database, "manuals", {"exclude": []}, "bob").extra["owner"] == "me"
    second = world.ingest("manuals").collections[0]
    assert (second.added, second.left_out_counts) == (2, {})


# --- built again ------------------------------------------------------------------------------------------------------


def points_of(world: World) -> tuple[str, int]:
    """The collection of points that the database says is live, and the number of its chunks."""
    [(points, count)] = world.sql(
        "SELECT k.point_collection, count(*) FROM rag.chunks k JOIN rag.documents d ON d.id = k.document_id"
        " JOIN rag.collections c ON c.id = d.collection_id WHERE c.name = %s GROUP BY 1",
        (world.name,),
    )
    return points, count


def rebuild(world: World, embedder: Any = EMBEDDER, **options: Any) -> Any:
    return ingest(world.database, world.store.endpoint, embedder, [world.name], rebuild=True, **options)


def test_another_model_is_built_beside_and_switched_to(world: World) -> None:
    fill(world)
    world.run()
    before = world.store.points("docs")
    other = HashingEmbedder(32)
    assert world.ingest(embedder=other).collections[0].refused.code == "vectors_differ"
    report = rebuild(world, other).collections[0]
    assert (report.name, report.added, report.points) == ("docs", 4, len(before))
    assert "ingest --drop-old docs" in report.notes[-1]
    assert points_of(world) == ("docs@2", len(before))
    aliases = {item["alias_name"]: item["collection_name"] for item in world.store.aliases()}
    assert aliases == {"docs@live": "docs@2"}
    assert world.store.points("docs") == before, "the old points stay until they are dropped"
    assert len(world.store.points("docs@2")) == len(before)

    assert world.ingest(embedder=other).collections[0].unchanged == 4, "the next ingest has nothing to do"
    world.write("e.md", words(400))
    assert world.ingest(embedder=other).collections[0].added == 1
    assert points_of(world)[1] == len(world.store.points("docs@2")) > len(before)
    assert [one.name for one in collections.list_all(world.database)] == ["docs"]

    gone = drop_old(world.database, world.store.endpoint, [])
    assert {name: [(one.points, one.documents) for one in kept] for name, kept in gone.items()} == {
        "docs": [("docs", 4)]
    }
    assert world.store.client.get("/collections/docs").status_code == 404
    assert points_of(world)[1] == len(world.store.points("docs@2"))
    assert drop_old(world.database, world.store.endpoint, []) == {}
    assert collections.show(world.database, world.store.endpoint, "docs").is_whole


def test_a_second_rebuild_follows_the_first(world: World) -> None:
    fill(world)
    world.run()
    rebuild(world)
    rebuild(world)
    assert points_of(world)[0] == "docs@3"
    assert [one.points for one in drop_old(world.database, world.store.endpoint, ["docs"])["docs"]] == [
        "docs",
        "docs@2",
    ]
    assert world.run().unchanged == 4


def test_a_rebuild_that_was_interrupted_is_continued(world: World) -> None:
    for number in range(250):
        world.write(f"{number:03}.md", words(number, 20))
    world.run()
    before = world.state()

    def stop(progress: Any) -> None:
        if progress.stage == "store" and progress.files >= 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(world, on_progress=stop)
    assert points_of(world)[0] == "docs"
    assert world.state()["points"] == before["points"]
    assert world.run().unchanged == 250, "the live one is ingested as ever"
    report = rebuild(world).collections[0]
    assert (report.unchanged > 0, report.changed + report.added + report.unchanged) == (True, 250)
    assert points_of(world) == ("docs@2", len(before["points"]))


def test_counts_that_differ_switch_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(world)
    world.run()
    with monkeypatch.context() as patch:
        patch.setattr("ragops.ingest.document_store.DocumentStore.count_chunks", lambda *_: 1)
        refused = rebuild(world).collections[0].refused
    assert refused.code == "counts_differ"
    assert points_of(world)[0] == "docs"
    assert rebuild(world).collections[0].refused is None


def test_an_empty_directory_is_not_switched_to(world: World) -> None:
    fill(world)
    world.run()
    for file in sorted(world.directory.rglob("*.*")):
        file.unlink()
    assert rebuild(world).collections[0].refused.code == "rebuild_empty"
    assert points_of(world)[0] == "docs"
    assert rebuild(world, allow_empty=True).collections[0].points == 0


def test_a_removed_collection_takes_its_builds_with_it(world: World) -> None:
    fill(world)
    world.run()
    rebuild(world)
    collections.remove(world.database, world.store.endpoint, "docs", "carol")
    names = {item["name"] for item in world.store.client.get("/collections").json()["result"]["collections"]}
    assert not {name for name in names if name.startswith("docs")}
    assert world.store.aliases() == []
    assert world.sql("SELECT count(*) FROM rag.documents") == world.sql("SELECT count(*) FROM rag.chunks") == [(0,)]


def test_health_counts_what_can_be_found(world: World) -> None:
    fill(world)
    world.run()
    logins = {"operator": world.store.endpoint.logins["application"]}
    endpoints = {"timescaledb": world.database, "qdrant": replace(world.store.endpoint, logins=logins)}
    assert consistency.probe(endpoints, 20).checks[0].status is Status.OK
    gone = sorted(world.store.points("docs"))[:2]
    world.store.post("/collections/docs/points/delete?wait=true", {"points": gone})
    found = consistency.probe(endpoints, 20).checks[0]
    assert found.status is Status.DEGRADED
    count = len(world.store.points("docs"))
    assert f"docs has {count} points for {count + 2} chunks" in found.detail
    world.run()
    assert consistency.probe(endpoints, 20).checks[0].status is Status.OK


# --- files that are no files, or not for long -------------------------------------------------------------------------


def test_what_is_no_file_is_left_alone(world: World) -> None:
    """Pipes, sockets, devices, loops of links, and names that a terminal acts on."""
    fill(world)
    folder = world.directory
    os.mkfifo(folder / "pipe.md")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket.md"))
        (folder / "zero.md").symlink_to("/dev/zero")
        (folder / "self.md").symlink_to("self.md")
        (folder / "up").symlink_to("..")
        (folder / "deep" / "round").symlink_to("../deep")
        evil = "x\x1b[2J\n\x07y\u202e.md"
        world.write(evil, "The pelican sleeps in the harbour.\n")
        world.write("bad\x1b]0;z\x07\n.md", b"text\0")
        (folder / os.fsdecode(b"caf\xe9.md")).write_text("words")
        report = world.run()
    assert (report.added, {one.path for one in report.failed}) == (5, {"bad\x1b]0;z\x07\n.md", "caf\\xe9.md"})
    assert evil in {point["path"] for point in world.store.points("docs").values()}
    world.check()
    assert world.run().unchanged == 5


def test_files_that_change_or_vanish_while_it_runs(world: World) -> None:
    fill(world)
    for name in ("gone.md", "folder.md", "pipe.md", "cut.md", "spoilt.md", "old.md"):
        world.write(name, words(500) + name)
    (world.directory / "below").mkdir()
    world.write("below/gone.md", words(600))
    world.ingest()
    for path in [*world.directory.glob("*.md"), world.directory / "below/gone.md"]:
        if path.name not in ("old.md", "a.md", "c.md", "d.md"):
            path.write_text(path.read_text() + "changed")
    world.write("new.md", words(700))

    def change(progress: Any) -> None:
        """After all were compared, before any of them is read."""
        if (progress.stage, progress.files) != ("compare", progress.total):
            return
        for name in ("gone.md", "folder.md", "pipe.md", "new.md"):
            (world.directory / name).unlink()
        (world.directory / "folder.md").mkdir()
        os.mkfifo(world.directory / "pipe.md")
        world.write("cut.md", "short now")
        world.write("spoilt.md", b"\0")
        shutil.rmtree(world.directory / "below")
        (world.directory / "below").write_text("a file now")

    report = world.run(on_progress=change)

    assert {one.path: one.reason for one in report.failed} == {
        "folder.md": "cannot be read: Is a directory", "pipe.md": "not a regular file",
        "spoilt.md": "binary: a NUL byte at 0",
    }  # fmt: skip
    assert (report.deleted, report.added, report.changed) == (2, 0, 1)
    texts = {(point["path"], point["text"]) for point in world.store.points("docs").values()}
    assert ("cut.md", "short now") in texts
    assert {path for path, _ in texts} == {"a.md", "deep/er/b.txt", "c.md", "d.md", "cut.md", "old.md"}
    world.check()
    again = world.run()
    assert [(one.path) for one in again.failed] == ["spoilt.md"]
    assert (again.deleted, again.changed, again.unchanged) == (2, 0, 6)
    world.check()


def test_a_collection_keeps_the_language_of_its_words_until_it_is_built_again(world: World) -> None:
    world.write("a.md", "Die Wiederherstellungen der Sicherungen")
    recorded = "SELECT details->'way'->>'language' FROM rag.ingestion_jobs WHERE details ? 'way' ORDER BY started_at"

    def run(language: str, **options: Any) -> Any:
        models = Models({EMBEDDER.name: ModelSpec(kind="hashing", dimensions=64)}, str, language=language)
        return ingest(world.database, world.store.endpoint, models, [world.name], **options).collections[0]

    assert run("english").notes == ()
    kept = run("german")
    assert (kept.unchanged, [note.split("; ")[0] for note in kept.notes]) == (
        1, ["its words are those of english, as it was built"],
    )  # fmt: skip
    assert "`ragops ingest --rebuild docs` makes them german" in kept.notes[0]
    built = run("german", rebuild=True)
    assert not any("its words" in note for note in built.notes)
    assert run("german").notes == ()
    assert [row[0] for row in world.sql(recorded)] == ["english", "english", "german", "german"]
