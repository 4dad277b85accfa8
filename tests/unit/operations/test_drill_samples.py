"""When counts after a drill are those of the recovery point, and a point repeats its row."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from uuid import UUID

import pytest

from ragops.operations.restore.compare import Comparison, count_faults, difference, expected
from ragops.recovery.manifest import ManifestPart, StoredFile
from ragops.services.timescaledb.backup.sampling import Chunk

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HASH = "0" * 64


def part(name: str, **counts: int) -> ManifestPart:
    return ManifestPart(
        service="x", name=name, size=1, sha256=HASH, stored=StoredFile(file="f", size=1, sha256=HASH),
        counts=counts, instant=NOW, versions={},
    )  # fmt: skip


def test_shards_of_a_collection_count_together() -> None:
    parts = [
        part("0001-0.snapshot", **{"docs/0.points": 3}),
        part("0001-1.snapshot", **{"docs/1.points": 4}),
        part("0002-0.snapshot", **{"other.points": 5}),
        part("collections.json", collections=2, aliases=0),
    ]
    assert expected(parts) == {"docs.points": 7, "other.points": 5, "collections": 2, "aliases": 0}


def test_a_shard_that_nobody_could_read_leaves_its_collection_out() -> None:
    parts = [part("0001-0.snapshot", **{"docs/0.points": 3}), part("0001-1.snapshot"), part("0002-0.snapshot", b=1)]
    assert expected(parts) == {"b": 1}


def test_counts_are_exact() -> None:
    assert count_faults("timescaledb", {"a.b": 2}, {"a.b": 2}) == []
    assert count_faults("timescaledb", {"a.b": 2}, {"a.b": 1}) == ["1 a.b, not 2"]
    assert count_faults("timescaledb", {"a.b": 2}, {"a.b": 3}) == ["3 a.b, not 2"]
    assert count_faults("timescaledb", {"a.b": 2}, {}) == ["0 a.b, not 2"]


def test_rows_that_the_database_removes_by_itself_may_have_gone() -> None:
    assert count_faults("timescaledb", {"a.b": 2}, {"a.b": 1}, ["a.b"]) == []
    assert count_faults("timescaledb", {"a.b": 2}, {"a.b": 3}, ["a.b"]) == ["3 a.b, not 2"]


@pytest.mark.parametrize(
    ("keys", "expires", "faults"),
    [(10, 4, 0), (7, 1, 0), (6, 0, 0), (9, 4, 1), (5, 0, 1), (11, 5, 1), (11, 4, 1)],
)
def test_keys_may_have_expired_but_none_that_last_may_be_missing(keys: int, expires: int, faults: int) -> None:
    wanted = {"keys": 10, "expires": 4}
    assert len(count_faults("redis", wanted, {"keys": keys, "expires": expires})) == faults


CHUNK = Chunk(UUID(int=1), 7, 0, "text", hashlib.sha256(b"text").hexdigest(), "docs")
PAYLOAD = {"text": "text", "content_hash": CHUNK.content_hash, "position": 0, "document_id": 7, "path": "a.md"}


def test_a_point_repeats_its_row() -> None:
    assert difference(CHUNK, PAYLOAD) == ""
    assert difference(CHUNK, {}) == "", "whoever else made it may keep other things in it"


@pytest.mark.parametrize("change", [{"text": "t"}, {"content_hash": "x"}, {"position": 1}, {"document_id": 8}])
def test_one_that_does_not_is_named(change: dict[str, object]) -> None:
    assert next(iter(change)) in difference(CHUNK, {**PAYLOAD, **change})


def test_a_row_whose_text_has_changed_is_named() -> None:
    assert "SHA-256" in difference(CHUNK._replace(content="texT"), {**PAYLOAD, "text": "texT"})


def test_the_first_faults_are_told_and_the_others_counted() -> None:
    found = Comparison({}, 9, ("m1", "m2"), ("d1",), ("c1", "c2"))
    assert found.summary == "c1; c2; m1; and 2 more"
    assert found.samples == {"checked": 9, "missing": 2, "differing": 1, "strangers": 0}
