"""Which changes of a directory an ingest would find, on a real directory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from ragops.ingest.rows import Collection
from ragops.ingest.watched_collection import WatchedCollection

if TYPE_CHECKING:
    from pathlib import Path


def make(root: Path, *paths: str, content: str = "x") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)


def watched(root: Path, types: tuple[str, ...] = ("md",), **extra: Any) -> WatchedCollection:
    made = WatchedCollection(Collection(1, "docs", ".", "m", 512, 50, list(types), True, True, extra), root)
    assert made.look(), "the first look finds everything"
    assert not made.look()
    return made


def test_folders_that_are_left_out_are_not_watched(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "deep/er/b.md", "node_modules/x/c.md", ".git/d.md", "drafts/e.md", "build/f.md")
    make(tmp_path, ".gitignore", content="build/\n")
    found = watched(tmp_path, exclude=["drafts/"]).folders
    assert sorted(os.path.relpath(folder, tmp_path) for folder in found) == [".", "deep", "deep/er"]


@pytest.mark.parametrize(
    ("path", "concerned"),
    [
        ("a.md", True), ("new.MD", True), ("new", False), ("a.md~", False), (".a.md.swp", False), ("x.tmp.md", False),
        ("drafts", False), ("deep", True), ("deep/b.md", True), ("node_modules", False), ("node_modules/c.md", False),
        ("elsewhere/c.md", False), (".gitignore", True), (".ragopsignore", True), ("made", True),
    ],
)  # fmt: skip
def test_what_is_left_out_concerns_nothing(tmp_path: Path, path: str, concerned: bool) -> None:
    make(tmp_path, "a.md", "deep/b.md", "node_modules/c.md", "drafts/d.md")
    one = watched(tmp_path, exclude=["drafts/", "*.tmp.md"])
    (tmp_path / "made").mkdir()
    assert one.concerns(str(tmp_path / path)) is concerned


def test_a_file_that_is_too_large_is_no_change_until_it_is_one(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    make(tmp_path, "b.md", content="x" * 100)
    one = watched(tmp_path, maxFileSize="50B")
    make(tmp_path, "b.md", content="y" * 101)
    assert not one.look([str(tmp_path / "b.md")])
    make(tmp_path, "a.md", content="y" * 51)
    assert one.look([str(tmp_path / "a.md")]), "its document is to be deleted"


def test_a_file_that_was_written_again_within_a_tick_counts(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    one = watched(tmp_path)
    before = (tmp_path / "a.md").stat()
    make(tmp_path, "a.md", content="y")
    os.utime(tmp_path / "a.md", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert one.look([str(tmp_path / "a.md")])
    assert not one.look()


def test_rules_that_change_count_if_files_do(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "b.md")
    one = watched(tmp_path)
    make(tmp_path, ".gitignore", content="c.md\n")
    assert not one.look([str(tmp_path / ".gitignore")])
    make(tmp_path, ".gitignore", content="b.md\n")
    assert one.look([str(tmp_path / ".gitignore")])


def test_a_directory_that_goes_and_comes_back(tmp_path: Path) -> None:
    root = tmp_path / "docs"
    make(root, "a.md")
    one = watched(root)
    assert not one.is_due()
    root.rename(tmp_path / "away")
    assert (one.is_due(), one.look(), one.folders) == (True, True, {})
    assert not one.look(), "it is reported once"
    (tmp_path / "away").rename(root)
    assert (one.is_due(), one.look(), list(one.folders)) == (True, True, [str(root)])


def test_another_directory_of_that_name_is_looked_at(tmp_path: Path) -> None:
    make(tmp_path, "one/a.md", "two/b.md")
    (tmp_path / "now").symlink_to("one")
    one = watched(tmp_path / "now")
    (tmp_path / "now").unlink()
    (tmp_path / "now").symlink_to("two")
    assert one.is_due()
    assert one.look()


def test_a_rule_that_cannot_be_used_is_the_reports_matter(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    assert not watched(tmp_path, maxFileSize="many").folders
