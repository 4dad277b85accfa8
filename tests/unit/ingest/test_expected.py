"""How many points a collection is expected to have, and the layout that follows from it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ragops.errors import UsageError
from ragops.ingest.expected import choose_layout, estimate_points
from ragops.ingest.rows import Collection
from ragops.ingest.walk import FileEntry
from ragops.services.qdrant.shard_layout import LayoutRules, ShardLayout

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def collection(defaults: dict[str, Any] | None = None, **extra: Any) -> Collection:
    return Collection(1, "docs", "docs", "hashing-384-v1", 512, 50, ["md"], True, True, extra, defaults or {})


def test_text_counts_whole_and_what_holds_pictures_counts_in_part() -> None:
    step = 512 - 50
    sizes = {"a.md": 1000 * step, "b.pdf": 1000 * step, "c.html": 1000 * step, "empty.txt": 0}
    for path, size in sizes.items():
        expected = {"a.md": 1001, "b.pdf": 51, "c.html": 401, "empty.txt": 1}[path]
        assert estimate_points(collection(), [FileEntry(path, size, WHEN)]) == expected
    files = [FileEntry(path, size, WHEN) for path, size in sizes.items()]
    assert estimate_points(collection(), files) == 1001 + 51 + 401 + 1


def test_the_keys_of_a_collection_win_over_the_estimate() -> None:
    rules = LayoutRules(3)
    assert choose_layout(rules, collection(), 1000, 768) == ShardLayout(1, 3, True, 1000)
    assert choose_layout(rules, collection(expectedPoints=10_000_000), 1000, 768).shards == 6
    assert choose_layout(rules, collection({"expectedPoints": 10_000_000}), 1000, 768).shards == 6
    assert choose_layout(rules, collection(shards=4), 1000, 768) == ShardLayout(4, 2, False, 1000, is_set=True)


@pytest.mark.parametrize("wrong", [{"shards": 0}, {"shards": "3"}, {"expectedPoints": -1}, {"expectedPoints": True}])
def test_a_key_that_an_earlier_release_took_is_refused_with_what_is_expected(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"cannot use {next(iter(wrong))}: expected a whole number from 1 to"):
        choose_layout(LayoutRules(3), collection(**wrong), 1000, 768)
