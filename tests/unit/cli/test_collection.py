"""What `ragops collection set` and `ragops ingest --drop-old` print."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import fields
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from ragops.cli import collection_views as views
from ragops.cli.collection import _next
from ragops.cli.console import Console
from ragops.cli.ingest import _drop_old
from ragops.operations.data import ingest as operation
from ragops.services.timescaledb.collections.rows import CollectionRow


@pytest.mark.parametrize(
    ("model", "documents", "command"),
    [("e5", 3, "ragops ingest --rebuild docs"), ("e5", 0, "ragops ingest docs"), (None, 3, "ragops ingest docs")],
)
def test_after_another_model_comes_a_rebuild(model: str | None, documents: int, command: str) -> None:
    row: Any = SimpleNamespace(name="docs", indexed=documents)
    assert _next(row, model) == f"next: `{command}`"


@pytest.mark.parametrize(
    ("embedder", "shown"),
    [("e5", "ok"), ("bge", "rebuild pending"), ("bm25", "ok"), (None, "ok")],
)
def test_vectors_of_the_model_before_wait_for_a_rebuild(embedder: str | None, shown: str) -> None:
    values: dict[str, Any] = dict.fromkeys(field.name for field in fields(CollectionRow))
    values |= {"name": "docs", "enabled": True, "indexed": 3, "pending": 0, "indexed_at": datetime(2026, 1, 2)}
    row = CollectionRow(**{**values, "embedding_model": "e5", "embedder": embedder})
    assert views.state(row) == shown
    assert "`ragops ingest --rebuild docs`" in views.describe_rebuild(row)


def test_what_is_dropped_is_not_taken_for_the_collection(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: Any = SimpleNamespace(points="docs", documents=10, _asdict=dict)
    monkeypatch.setattr(operation, "drop_old", lambda *_: {"docs": [kept]})
    session: Any = SimpleNamespace(changing=nullcontext, endpoint=str)
    _drop_old(Console(), session, ())
    assert capsys.readouterr().out == "docs: deleted the old points docs of 10 documents\n"
