"""Which files are documents, on a real directory."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ragops.errors import MissingError, RagopsError
from ragops.ingest.walk import endings, modified_at, walk
from tests.folders import let_everyone_pass


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


def paths(root: Path, *types: str, recursive: bool = True) -> list[str]:
    return [file.path for file in walk(root, types, recursive=recursive).files]


def test_by_type_in_order_without_hidden_ones(tmp_path: Path) -> None:
    make(tmp_path, "b.md", "a/z.MD", "a.md", "a-b.md", "a/no.py", ".hidden.md", ".git/x.md", "md", "ä/ü.md")
    assert paths(tmp_path, "md") == ["a-b.md", "a.md", "a/z.MD", "b.md", "ä/ü.md"]
    assert paths(tmp_path, "md", recursive=False) == ["a-b.md", "a.md", "b.md"]
    assert "a/no.py" in paths(tmp_path)


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (["md", ".TXT", "*.rst"], (".md", ".rst", ".txt")),
        (["tar.gz"], (".tar.gz",)),
        ([], ()),
        (["*"], ()),
    ],
)
def test_ways_to_write_a_type(types: list[str], expected: tuple[str, ...]) -> None:
    assert endings(types) == expected


def test_links_inside_are_followed_once_and_those_that_lead_out_are_not(tmp_path: Path) -> None:
    root, outside = tmp_path / "docs", tmp_path / "outside"
    make(root, "real/a.md", ".data/b.md")
    make(outside, "secret.md")
    (root / "again").symlink_to("real")
    (root / "real" / "loop").symlink_to("..")
    (root / "self").symlink_to("self")
    (root / "nowhere.md").symlink_to("gone.md")
    (root / "shown").symlink_to(".data")
    (root / "copy.md").symlink_to("real/a.md")
    (root / "out").symlink_to(outside)
    (root / "out.md").symlink_to(outside / "secret.md")
    found = walk(root, ["md"], recursive=True)
    assert [file.path for file in found.files] == ["copy.md", "real/a.md", "shown/b.md"]
    assert [note.rsplit(": ")[-1] for note in sorted(found.notes)] == ["out", "out.md"]


def test_a_directory_that_is_a_link_itself(tmp_path: Path) -> None:
    make(tmp_path / "docs", "a.md")
    (tmp_path / "link").symlink_to("docs")
    assert paths(tmp_path / "link", "md") == ["a.md"]


def test_pipes_are_no_documents(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    assert paths(tmp_path, "md") == []


def test_names_that_the_database_cannot_hold_are_said(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.md"))).write_text("x")
    long = tmp_path.joinpath(*["d" * 250] * 11)
    long.mkdir(parents=True)
    (long / "x.md").write_text("x")
    found = walk(tmp_path, ["md"], recursive=True)
    assert found.files == ()
    assert sorted(reason for _, reason in found.left_out) == [
        "its name is not UTF-8: rename it",
        "its path is longer than 2600 bytes",
    ]
    assert "caf\\xe9.md" in [path for path, _ in found.left_out]


def test_missing_directory_and_a_file_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="there is no"):
        walk(tmp_path / "gone", [], recursive=True)
    make(tmp_path, "file")
    with pytest.raises(RagopsError, match="Not a directory"):
        walk(tmp_path / "file", [], recursive=True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become nobody")
def test_closed_folders_are_unknown_not_gone(tmp_path: Path) -> None:
    let_everyone_pass(tmp_path)
    make(tmp_path, "open/a.md", "closed/b.md")
    (tmp_path / "closed").chmod(0)
    os.seteuid(65534)
    try:
        found = walk(tmp_path, ["md"], recursive=True)
    finally:
        os.seteuid(0)
    assert [file.path for file in found.files] == ["open/a.md"]
    assert found.closed == (("closed", "folder cannot be read: Permission denied"),)


def test_times_are_microseconds_and_impossible_ones_are_1970(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    os.utime(tmp_path / "a.md", ns=(0, 1_700_000_000_123_456_789))
    expected = datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert walk(tmp_path, [], recursive=True).files[0].modified == expected
    values = list(tmp_path.stat())
    assert modified_at(os.stat_result(values, {"st_mtime_ns": 10**25})) == datetime(1970, 1, 1, tzinfo=UTC)
