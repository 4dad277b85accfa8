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
    assert sorted(reason for _, reason in found.unusable) == [
        "its name is not UTF-8: rename it",
        "its path is longer than 2600 bytes",
    ]
    assert "caf\\xe9.md" in [path for path, _ in found.unusable]


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


# --- rules -----------------------------------------------------------------------------------------------------------


def left_out(root: Path, *types: str, **options: object) -> dict[str, str]:
    return dict(walk(root, types, recursive=True, **options).left_out)


def test_what_programs_write_and_hidden_files_are_left_out_and_counted(tmp_path: Path) -> None:
    names = ("node_modules", ".git", "__pycache__", ".venv", "dist", "target", "a/b/node_modules", "x.egg-info")
    make(tmp_path, "a.md", "target.md", "dist.d/b.md", ".env.md", "c.png", *(f"{name}/in/x.md" for name in names))
    found = walk(tmp_path, ["md"], recursive=True)
    assert [file.path for file in found.files] == ["a.md", "dist.d/b.md", "target.md"]
    assert found.left_out_counts == {"hidden": 3, "by default": 6, "other types": 1}
    assert dict(found.left_out)["a/b/node_modules/"] == "by default"
    assert dict(found.left_out)["c.png"] == "other types"


def test_default_and_hidden_ones_are_taken_back(tmp_path: Path) -> None:
    make(tmp_path, "dist/a.md", ".github/b.md", "node_modules/c.md", "sub/dist/d.md")
    assert paths(tmp_path, "md") == []
    (tmp_path / ".ragopsignore").write_text("!/dist/\n!.github/\n")
    assert paths(tmp_path, "md") == [".github/b.md", "dist/a.md"]
    exclude = ["!node_modules/", "dist/"]
    assert [file.path for file in walk(tmp_path, ["md"], recursive=True, exclude=exclude).files] == [
        ".github/b.md", "node_modules/c.md",
    ]  # fmt: skip


def test_ignore_files_hold_at_all_levels_and_the_nearest_decides(tmp_path: Path) -> None:
    make(tmp_path, "a.log.md", "keep.log.md", "sub/b.log.md", "sub/deep/c.log.md", "sub/deep/d.md", "drafts/e.md")
    (tmp_path / ".gitignore").write_text("*.log.md\n!keep.log.md\ndrafts/\n# a comment\n\n")
    (tmp_path / "sub" / ".gitignore").write_text("!b.log.md\n/deep/d.md\n")
    assert paths(tmp_path, "md") == ["keep.log.md", "sub/b.log.md"]
    (tmp_path / "sub" / ".ragopsignore").write_text("!*.log.md\n")  # over any .gitignore, even a deeper one
    (tmp_path / "sub" / "deep" / ".gitignore").write_text("*\n")
    assert paths(tmp_path, "md") == ["keep.log.md", "sub/b.log.md", "sub/deep/c.log.md"]
    reasons = left_out(tmp_path, "md")
    assert (reasons["a.log.md"], reasons["sub/deep/d.md"]) == ("by .gitignore", "by sub/deep/.gitignore")
    assert left_out(tmp_path, "md", exclude=["c.*"])["sub/deep/c.log.md"] == "by `exclude`"


def test_the_rules_of_the_repository_around_hold(tmp_path: Path) -> None:
    make(tmp_path, ".git/HEAD", "project/docs/a.md", "project/docs/_build/b.md", "project/docs/c.tmp.md")
    (tmp_path / ".gitignore").write_text("project/docs/_build/\n")
    (tmp_path / "project" / ".gitignore").write_text("*.tmp.md\n")
    assert paths(tmp_path / "project" / "docs", "md") == ["a.md"]
    (tmp_path / ".gitignore").write_text("project/docs/\n")  # the directory was named to be read all the same
    assert paths(tmp_path / "project" / "docs", "md") == ["_build/b.md", "a.md", "c.tmp.md"]


def test_rules_above_a_directory_outside_of_repositories_do_not_hold(tmp_path: Path) -> None:
    make(tmp_path, "docs/a.md")
    (tmp_path / ".gitignore").write_text("a.md\n")
    assert paths(tmp_path / "docs", "md") == ["a.md"]


def test_ignore_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "b.md", "pipe/c.md", "link/d.md")
    (tmp_path / ".ragopsignore").write_text("!\nb.md\n[z-a]\n")
    os.mkfifo(tmp_path / "pipe" / ".gitignore")
    (tmp_path / "link" / ".gitignore").symlink_to("/etc/passwd")
    found = walk(tmp_path, ["md"], recursive=True)
    assert [file.path for file in found.files] == ["a.md", "link/d.md", "pipe/c.md"]
    assert sorted(found.notes) == [
        ".ragopsignore: 2 lines are not patterns of git, the first is '!'",
        "cannot read link/.gitignore: its patterns do not hold",
        "cannot read pipe/.gitignore: its patterns do not hold",
    ]


def test_larger_files_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    with (tmp_path / "zeros.md").open("wb") as stream:
        stream.truncate(1 << 30)
    assert left_out(tmp_path, "md") == {"zeros.md": "larger than 64.0 MiB"}
    assert left_out(tmp_path, "md", largest=3) == {"a.md": "larger than 3 B", "zeros.md": "larger than 3 B"}


def test_a_link_is_left_out_by_its_own_name(tmp_path: Path) -> None:
    make(tmp_path, "real/a.md", "real/b.md")
    (tmp_path / "again").symlink_to("real")
    (tmp_path / "c.md").symlink_to("real/a.md")
    assert [file.path for file in walk(tmp_path, ["md"], recursive=True, exclude=["c.md", "real/a.md"]).files] == [
        "real/b.md"
    ]
