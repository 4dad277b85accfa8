"""What health says of collections that are not green, or that cannot be asked; the servers' words are written down."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from ragops.errors import RagopsError
from ragops.services.contract import Status
from ragops.services.qdrant.cluster.collection_checks import (
    Conditions,
    check_collection,
    check_leftovers,
    example_query,
)
from ragops.services.qdrant.names import RESTORE_SUFFIX

DENSE = {"vectors": {"size": 2, "distance": "Dot"}}


class Server:
    """One node's answers; `search` may be an error."""

    def __init__(self, name: str = "qdrant-1", *, search: RagopsError | None = None, hours: float = 0, **info: Any):
        self.name, self.search, self.hours = name, search, hours
        self.info = {"status": "green", "optimizer_status": "ok", "config": {"params": DENSE}, **info}

    def within(self, _seconds: float) -> Server:
        return self

    def collection(self, _name: str) -> dict[str, Any]:
        return self.info

    def get(self, path: str) -> Any:
        assert path.endswith("/optimizations")
        since = datetime.now(tz=UTC) - timedelta(hours=self.hours)
        return {"running": [{"progress": {"started_at": since.isoformat()}}] if self.hours else []}

    def send(self, _method: str, path: str, body: dict[str, Any]) -> Any:
        assert path == "/collections/docs/points/query"
        assert body["query"] == [1.0, 1.0]
        if self.search:
            raise self.search
        return {"points": []}


def seen(*servers: Server) -> Conditions:
    found = Conditions()
    nodes: Any = SimpleNamespace(clients=servers, first=servers[0])
    check_collection("docs", nodes, time.monotonic() + 60, found)
    return found


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"status": "red"}, "docs is red"),
        ({"status": "red", "optimizer_status": {"error": "No space left"}}, "docs cannot be optimized: No space left"),
        ({"status": "green", "optimizer_status": {"error": "broken"}}, "docs cannot be optimized: broken"),
        ({"status": "grey"}, "docs is grey"),
        ({"status": "yellow", "hours": 3}, "docs is being optimized for 3.0 h"),
        (
            {"status": "yellow", "points_count": 300_000, "indexed_vectors_count": 20_000},
            "docs: 280000 of 300000 points are not indexed yet",
        ),
        ({"search": RagopsError("qdrant_error", "qdrant-1 answers 500: shard dead")}, "a search in docs fails"),
    ],
)
def test_what_is_not_well_is_told(info: dict[str, Any], words: str) -> None:
    (check,) = seen(Server(**info)).checks()
    assert (check.name, check.status) == ("collections", Status.DEGRADED)
    assert words in check.detail
    assert check.hint


def test_a_red_part_on_another_node_is_told_of_that_node() -> None:
    found = seen(Server(), Server("qdrant-2", status="red", optimizer_status={"error": "full"}))
    assert found.faults == ["docs cannot be optimized on qdrant-2: full"]


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"status": "yellow", "hours": 0.1, "points_count": 5000},
        {"points_count": 900_000, "indexed_vectors_count": 0},  # green: its segments are to have no index
        {"search": RagopsError("qdrant_error", "qdrant-1 answers 429: Rate limit exceeded")},
        {"search": RagopsError("qdrant_not_found", "deleted meanwhile")},
    ],
)
def test_what_is_well_is_not(info: dict[str, Any]) -> None:
    found = seen(Server(**info))
    assert list(found.checks()) == []
    assert found.describe_busy() == ("; optimized: docs" if "status" in info else "")


@pytest.mark.parametrize(
    ("params", "question"),
    [
        (DENSE, {"query": [1.0, 1.0]}),
        ({"vectors": {"a": {"size": 1}}}, {"query": [1.0], "using": "a"}),
        (
            {"vectors": {"a": {"size": 2, "multivector_config": {"comparator": "max_sim"}}}},
            {"query": [[1.0, 1.0]], "using": "a"},
        ),
        (
            {"vectors": {}, "sparse_vectors": {"s": {}}},
            {"query": {"indices": [0], "values": [1.0]}, "using": "s"},
        ),
        ({"vectors": {}}, {}),
        ({}, {}),
    ],
)
def test_a_question_for_every_kind_of_vector(params: dict[str, Any], question: dict[str, Any]) -> None:
    assert example_query(params) == question


# --- what restores have left ------------------------------------------------------------------------------------------


class Catalogue:
    def __init__(self, names: tuple[str, ...], aliases: dict[str, str]) -> None:
        self.collection_names = lambda: sorted(names)
        self.aliases = lambda: aliases


COPY = f"docs{RESTORE_SUFFIX}"
MARK = {"ragops-proven-0123456789ab-docs": COPY}


@pytest.mark.parametrize(
    ("names", "aliases", "words"),
    [
        (("docs", COPY), {}, f"{COPY} is left of a restore"),
        ((COPY,), MARK, f"docs is away; all of it is in its proven copy {COPY}"),
        ((COPY,), {**MARK, "docs": COPY}, f"docs is answered for by its copy {COPY}"),
    ],
)
def test_copies_of_a_restore_degrade(names: tuple[str, ...], aliases: dict[str, str], words: str) -> None:
    server: Any = Catalogue(names, aliases)
    (check,) = check_leftovers(server)
    assert (check.name, check.status, check.detail) == ("restore", Status.DEGRADED, words)
    assert "`ragops restore`" in check.hint
    assert ("only removes" in check.hint) == ("docs" in names)


def test_without_copies_there_is_nothing_to_tell() -> None:
    server: Any = Catalogue(("docs", "ragops-health"), {"current": "docs"})
    assert list(check_leftovers(server)) == []
