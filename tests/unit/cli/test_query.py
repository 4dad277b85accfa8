"""What `ragops query` shows of an answer."""

from __future__ import annotations

import pytest

from ragops.cli.console import Console
from ragops.cli.query import _shortened, _show
from ragops.operations.data.query import QueryResult


@pytest.mark.parametrize(
    ("collection", "place", "command"), [(None, "any collection", "list"), ("docs", "docs", "show docs")]
)
def test_that_nothing_was_found_is_said_once_with_what_was_ingested(
    collection: str | None, place: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = QueryResult(collection, None, None, "Nothing was found.", "hashing-384-v1", False, (), "r1")
    _show(Console(), found, full=False)
    shown = capsys.readouterr()
    hint = f"  → see what was ingested: `ragops collection {command}`"
    assert (shown.out, shown.err) == ("", f"nothing was found in {place}\n{hint}\n")


def test_the_beginning_of_a_passage_has_single_spaces() -> None:
    assert _shortened("# Leave\n\nThirty   days\n\n\tper year.") == ["# Leave Thirty days per year."]
