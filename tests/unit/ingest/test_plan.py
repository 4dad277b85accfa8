"""What is to be done, from real files and the rows that stand for an earlier run."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from ragops.ingest.plan import Plan, make_plan
from ragops.ingest.rows import Document
from ragops.ingest.walk import Walk, walk

if TYPE_CHECKING:
    from pathlib import Path

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LATER = LONG_AGO + timedelta(days=1)


def write(root: Path, path: str, content: str, modified: datetime = LONG_AGO) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content)
    os.utime(root / path, (modified.timestamp(), modified.timestamp()))


def row(id: int, path: str, content: str, **other) -> Document:
    known = Document(id, path, sha256(content.encode()).hexdigest(), len(content), LONG_AGO, "indexed", None, LATER)
    return known._replace(**other)


def plan(root: Path, *rows: Document, damaged: frozenset[int] = frozenset(), closed: tuple = ()) -> Plan:
    found = walk(root, ["md"], recursive=True)
    return make_plan(root, Walk(found.files, closed), {one.path: one for one in rows}, damaged)


def kinds(made: Plan) -> dict[str, str]:
    return {
        change.seen.path: "added" if change.document is None else "moved" if change.moved else "changed"
        for change in made.changes
    }


def test_every_kind(tmp_path: Path) -> None:
    write(tmp_path, "same.md", "same")
    write(tmp_path, "changed.md", "after")
    write(tmp_path, "new.md", "new")
    write(tmp_path, "to/here.md", "wanderer")
    write(tmp_path, "touched.md", "touched", LATER)
    write(tmp_path, "unfinished.md", "x")
    made = plan(
        tmp_path,
        row(1, "same.md", "same"),
        row(2, "changed.md", "before"),
        row(3, "from.md", "wanderer"),
        row(4, "gone.md", "gone"),
        row(5, "touched.md", "touched"),
        row(6, "unfinished.md", "x", status="pending"),
    )
    assert kinds(made) == {
        "changed.md": "changed", "new.md": "added", "to/here.md": "moved", "unfinished.md": "changed",
    }  # fmt: skip
    assert [document.path for document in made.deleted] == ["gone.md"]
    assert [(id, seen.modified) for id, seen in made.touched] == [(5, LATER)]
    assert made.unchanged == 2


def test_same_size_and_time_are_not_read_again_unless_the_change_was_just_before(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "bbb")
    assert kinds(plan(tmp_path, row(1, "a.md", "aaa"))) == {}
    just_after = LONG_AGO + timedelta(seconds=1)
    assert kinds(plan(tmp_path, row(1, "a.md", "aaa", indexed_at=just_after))) == {"a.md": "changed"}


def test_damaged_documents_are_done_again(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "a")
    assert kinds(plan(tmp_path, row(7, "a.md", "a"), damaged=frozenset({7}))) == {"a.md": "changed"}


def test_copies_swaps_and_twins_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "one")
    write(tmp_path, "copy.md", "one")
    assert kinds(plan(tmp_path, row(1, "a.md", "one"))) == {"copy.md": "added"}
    made = plan(tmp_path, row(1, "x.md", "one"), row(2, "y.md", "one"), row(3, "z.md", "one"))
    assert {change.seen.path: change.document.id for change in made.changes} == {"a.md": 1, "copy.md": 2}
    assert [document.id for document in made.deleted] == [3]
    write(tmp_path, "copy.md", "two")
    swapped = plan(tmp_path, row(1, "a.md", "two"), row(2, "copy.md", "one", size=9))
    assert kinds(swapped) == {"copy.md": "changed"}  # a.md has its old size and time: that is what they promise


def test_below_a_closed_folder_nothing_is_gone(tmp_path: Path) -> None:
    closed = (("shut", "folder cannot be read: Permission denied"),)
    half = row(2, "shut/half.md", "y", status="pending")
    made = plan(tmp_path, row(1, "shut/in/a.md", "x"), half, row(3, "shutter.md", "z"), closed=closed)
    assert made.out_of_reach == 1
    assert [(failure.document.id, failure.reason) for failure in made.failures] == [(2, closed[0][1])]
    assert [document.id for document in made.deleted] == [3]


def test_a_failure_that_is_known_already(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"\0")
    os.utime(tmp_path / "a.md", (LONG_AGO.timestamp(),) * 2)
    failure = plan(tmp_path).failures[0]
    assert not failure.known
    known = row(1, "a.md", "", status="failed", error=failure.reason, sha256="0" * 64, size=1)
    assert plan(tmp_path, known).failures[0].known
    assert not plan(tmp_path, known._replace(error="other")).failures[0].known
