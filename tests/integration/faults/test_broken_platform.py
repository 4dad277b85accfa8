"""A platform that is down or has lost its data: what is taken of it is marked, ends with 3 and is never `latest`."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.integration.faults.lab import COLLECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.faults.lab import Lab

UNHEALTHY, MISSING = 3, 7


pytestmark = [pytest.mark.fault, pytest.mark.campaign(of="broken platforms", sample=3)]


def drop_chunks(lab: Lab) -> None:
    lab.sql("DROP TABLE rag.chunks CASCADE")


def drop_schema(lab: Lab) -> None:
    lab.sql("DROP SCHEMA rag CASCADE")


def empty_chunks(lab: Lab) -> None:
    lab.sql("TRUNCATE rag.chunks")


def older_schema(lab: Lab) -> None:
    lab.sql("DELETE FROM rag.schema_migrations WHERE version = 7")


def lose_listed_collection(lab: Lab) -> None:
    lab.qdrant("DELETE", f"/collections/{COLLECTIONS[0]}")


def empty_listed_collection(lab: Lab) -> None:
    lab.qdrant("POST", f"/collections/{COLLECTIONS[0]}/points/delete?wait=true", {"filter": {}})


def lose_all_points(lab: Lab) -> None:
    for name in COLLECTIONS:
        lab.qdrant("DELETE", f"/collections/{name}")


def flush(lab: Lab) -> None:
    with lab.redis() as client:
        client.flushall()


WAYS: dict[str, Callable[[Lab], None]] = {
    "rag.chunks (table or view)": drop_chunks,
    "the rag schema is gone": drop_schema,
    "rows of rag.chunks are gone": empty_chunks,
    "it has 7 migrations, it had 8": older_schema,
    "books is missing in Qdrant": lose_listed_collection,
    "books is empty in Qdrant": empty_listed_collection,
    "points are gone": lose_all_points,
    "keys that never expire are gone": flush,
}


@pytest.fixture
def listed(lab: Lab) -> Lab:
    """The platform with the schema of the migrations, a document of which lists a collection of Qdrant."""
    lab.configure(recipients=[], copies=[])
    lab.paths.history.unlink(missing_ok=True)
    lab.sql("DROP SCHEMA rag CASCADE")
    lab("migrate", "up")
    lab.sql(f"""
        INSERT INTO rag.embedding_models (name) VALUES ('m');
        INSERT INTO rag.collections (name, directory, embedding_model, chunk_size, chunk_overlap, file_types)
            VALUES ('books', 'books', 'm', 9, 0, '{{md}}');
        INSERT INTO rag.documents (collection_id, path, content_hash, size_bytes, modified_at, status)
            SELECT id, 'a.md', repeat('a', 64), 1, now(), 'indexed' FROM rag.collections;
        INSERT INTO rag.chunks (document_id, position, content, content_hash, point_collection)
            SELECT id, 0, 'x', repeat('a', 64), '{COLLECTIONS[0]}' FROM rag.documents;
    """)
    return lab


@pytest.mark.parametrize("words", WAYS)
def test_what_is_taken_of_a_broken_platform_is_marked_and_latest_is_the_one_before(listed: Lab, words: str) -> None:
    good = listed("backup", "run").out.strip()
    before = listed.contents()
    WAYS[words](listed)
    done = listed("backup", "run", "--prune", code=UNHEALTHY)
    marked = done.out.strip()
    assert words in done.err
    assert f"`ragops restore {good}`" in done.err
    assert words in listed("backup", "show", marked).out
    rows = {row["id"]: row for row in listed("backup", "list", "--json").json()["points"]}
    assert words in " ".join(rows[marked]["unhealthy"])
    assert not rows[good]["unhealthy"]
    health = listed("health", code=UNHEALTHY).out
    assert good in health
    assert marked in health
    restored = listed("restore", "latest", "--yes", "--no-safety")
    assert f"{marked} is newer and passed over" in restored.err
    assert listed.contents() == before
    assert "last run" not in listed("health", code=None).out, "it was restored: nothing is left to do"


def test_a_broken_platform_pushes_no_good_point_out(listed: Lab) -> None:
    listed.configure(recipients=[], copies=[], keep={"daily": 1})
    good = listed("backup", "run").out.strip()
    drop_chunks(listed)
    for _ in range(3):
        listed("backup", "run", "--prune", code=UNHEALTHY)
    verdicts = listed("backup", "prune", "--dry-run", "--json").json()["repositories"][0]["points"]
    assert next(item["why"] for item in verdicts if item["id"] == good).startswith("the newest good one")


def test_the_error_is_the_document_of_a_marked_run(listed: Lab) -> None:
    good = listed("backup", "run").out.strip()
    flush(listed)
    error = listed("backup", "run", "--json", code=UNHEALTHY).error
    assert error["code"] == "platform_unhealthy"
    assert good in error["hint"]
    assert "--accept-loss" in error["hint"]


def test_what_was_removed_on_purpose_is_accepted(listed: Lab) -> None:
    listed("backup", "run")
    flush(listed)
    accepted = listed("backup", "run", "--accept-loss").out.strip()
    assert listed("backup", "show", "latest", "--json").json()["id"] == accepted
    assert listed("backup", "run").out.strip() != accepted, "from then on it is how things are"


def test_a_service_that_is_down_leaves_no_point_and_names_the_newest(listed: Lab) -> None:
    good = listed("backup", "run").out.strip()
    listed.kill("redis")
    done = listed("backup", "run", code=UNHEALTHY)
    assert "redis is down" in done.err
    assert f"`ragops restore {good}`" in done.err
    assert len(listed("backup", "list", "--json").json()["points"]) == 1


def test_one_service_restored_leaves_the_others_as_they_were_held(listed: Lab) -> None:
    good = listed("backup", "run").out.strip()
    flush(listed)
    lose_all_points(listed)
    listed("restore", "latest", "--service", "redis", "--yes", "--no-safety")
    done = listed("backup", "run", code=UNHEALTHY)
    assert "points are gone" in done.err
    assert "redis" not in done.err.partition("error")[2]
    assert f"`ragops restore {good}`" in done.err


def test_migrate_names_the_newest_good_point(listed: Lab) -> None:
    good = listed("backup", "run").out.strip()
    drop_chunks(listed)
    for command in ("up", "status"):
        done = listed("migrate", command, code=UNHEALTHY)
        assert "rag.chunks (table or view)" in done.err
        assert f"`ragops restore {good}`" in done.err
    drop_schema(listed)
    done = listed("migrate", "up", code=UNHEALTHY)
    assert f"`ragops restore {good}`" in done.err


def test_a_first_repository_that_is_not_mounted_is_not_begun_again(listed: Lab) -> None:
    listed.configure(recipients=[])
    listed.empty_repositories()
    taken = listed("backup", "run").out.strip()
    shutil.rmtree(listed.root / "backups" / "default")
    error = listed("backup", "run", "--json", code=MISSING).error
    assert error["code"] == "repository_emptied"
    assert taken in error["message"]
    listed("backup", "copy", "--all")
    listed("backup", "run")
    shutil.rmtree(listed.folder / "copies" / "default")
    health = listed("health", code=UNHEALTHY).out
    assert "is not whole in" in health


def test_only_what_was_restored_is_proven(listed: Lab) -> None:
    listed.paths.drills.unlink(missing_ok=True)
    listed("backup", "run")
    assert "was not tried" in listed("backup", "verify").out
    assert "no restore of the schema" in listed("health", code=UNHEALTHY).out
    deep = listed("backup", "verify", "--deep", "--json").json()
    assert deep["restores"], deep["proofs"]
    assert {one["service"] for one in deep["proofs"]} == {"timescaledb", "redis", "qdrant"}
    assert "this schema was restored by `ragops backup verify --deep`" in listed("health", code=None).out
    listed.sql("ALTER TABLE rag.documents ADD COLUMN note text")
    listed("backup", "run")
    assert "no restore of the schema" in listed("health", code=UNHEALTHY).out, "it was changed since"
    listed("restore", "latest", "--yes", "--no-safety")
    assert "this schema was restored by a restore" in listed("health", code=None).out
