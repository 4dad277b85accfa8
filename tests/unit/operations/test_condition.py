"""What makes a recovery point one that counts."""

from __future__ import annotations

from typing import Any

import pytest

from ragops.operations.backup.point_condition import losses, schema_lost

HELD: dict[str, dict[str, int]] = {
    "timescaledb": {"rag.schema_migrations": 7, "rag.collections": 2, "rag.documents": 9, "rag.chunks": 40, "app.t": 5},
    "qdrant": {"docs.points": 40, "more.points": 2, "collections": 2, "aliases": 0},
    "redis": {"keys": 12, "expires": 2},
}


def after(service: str, **changed: Any) -> dict[str, dict[str, int]]:
    """What was held with changes of one service; None takes a kind away."""
    counts = {**HELD[service], **changed}
    return {**HELD, service: {kind: number for kind, number in counts.items() if number is not None}}


def test_nothing_is_lost_where_all_is_there() -> None:
    assert losses(HELD, HELD) == []


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({"timescaledb": {"app.t": 5}}, "timescaledb: the rag schema is gone, which had 7 migrations"),
        (after("timescaledb", **{"rag.schema_migrations": 5}), "it has 5 migrations, it had 7"),
        (after("timescaledb", **{"rag.chunks": 0}), "timescaledb: all 40 rows of rag.chunks are gone"),
        (after("timescaledb", **{"rag.documents": None}), "timescaledb: all 9 rows of rag.documents are gone"),
        ({"qdrant": {"collections": 0, "aliases": 0}}, "qdrant: all 42 points are gone"),
        (after("qdrant", **{"docs.points": 0, "more.points": 0}), "qdrant: all 42 points are gone"),
        (after("redis", keys=0, expires=0), "redis: all 10 keys that never expire are gone"),
        (after("redis", keys=3, expires=3), "redis: all 10 keys that never expire are gone"),
    ],
)
def test_what_is_gone_altogether_is_lost(now: dict[str, dict[str, int]], words: str) -> None:
    (found,) = losses(HELD, now)
    assert words in found


@pytest.mark.parametrize(
    "now",
    [
        after("timescaledb", **{"app.t": None}),  # a table of somebody's own may be dropped
        after("timescaledb", **{"rag.chunks": 1, "rag.schema_migrations": 8}),
        after("qdrant", **{"more.points": None, "collections": 1}),  # so may a collection
        after("redis", keys=10, expires=0),
        after("redis", keys=11, expires=10),
    ],
)
def test_what_became_less_is_not_lost(now: dict[str, dict[str, int]]) -> None:
    assert losses(HELD, now) == []


def test_a_service_that_was_not_asked_for_has_lost_nothing() -> None:
    assert losses(HELD, {"redis": HELD["redis"]}) == []
    assert losses({}, {"redis": {"keys": 0}}) == []


def test_a_schema_is_lost_only_where_there_was_one() -> None:
    assert schema_lost(HELD, 0)
    assert not schema_lost(HELD, 3)
    assert not schema_lost({}, 0)
    assert not schema_lost({"timescaledb": {"app.t": 1}}, 0)
