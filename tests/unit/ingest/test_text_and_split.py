"""Files into text, text into chunks."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from ragops.errors import UsageError
from ragops.ingest.rows import chunk_id
from ragops.ingest.split import Splitter
from ragops.ingest.text import TextFile, UnusableDocumentError, inspect

if TYPE_CHECKING:
    from pathlib import Path


def test_text_hash_size_and_time(tmp_path: Path) -> None:
    file, content = tmp_path / "a.md", ("﻿" + "äöü€𝄞" * 30_000).encode()
    file.write_bytes(content)
    read = TextFile(file)
    assert "".join(read) == content.decode("utf-8-sig")
    assert (read.sha256, read.size) == (sha256(content).hexdigest(), len(content))
    assert read.modified is not None


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a", b"abc\0def", "binary: a NUL byte at 3"),
        ("a", b"x" * 70_000 + b"\0", "binary: a NUL byte at 70000"),
        ("a.txt", b"\x89PNG\r\n\x1a\n\0\0", "binary: it is a PNG image"),
        ("a.pdf", b"\x89PNG\r\n\x1a\n\0\0", "not a PDF: it is a PNG image"),
        ("a.md", b"%PDF-1.7\n", "binary: it is a PDF, rename it to .pdf"),
        (
            "a.txt",
            b"PK\x03\x04" + b"\0" * 26 + b"word/document.xml",
            "binary: it is a Word document, rename it to .docx",
        ),
        ("a.txt", "caf\xe9".encode("utf-16") + b"\x00", "not UTF-16: byte 0x00 at 10"),
    ],
)
def test_content_that_is_not_of_its_kind_is_named(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnusableDocumentError) as caught:
        inspect(tmp_path / name)
    assert str(caught.value) == reason


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_text_of_any_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    text = "Die Größe der Flüsse überrascht: „schön“, für 3 €.\n" * 3000
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    read = TextFile(tmp_path / "a.txt")
    assert "".join(read) == text
    assert read.sha256 == inspect(tmp_path / "a.txt").sha256 == sha256(text.encode(encoding)).hexdigest()


def test_gone_or_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("gone", "No such file"), ("pipe", "not a regular file")):
        with pytest.raises(UnusableDocumentError, match=reason):
            inspect(tmp_path / name)


def test_chunks_keep_to_their_size_and_lose_no_word() -> None:
    text = "\n\n".join(f"Sentence {number} has some words in it. And then more." for number in range(3000))
    chunks = list(Splitter(200, 20).chunks("a.txt", [text]))
    assert max(map(len, chunks)) <= 200
    assert set(text.split()) == {word for chunk in chunks for word in chunk.split()}
    whole = " ".join(chunks)
    positions = [whole.index(f"Sentence {number} ") for number in range(3000)]
    assert positions == sorted(positions)


@pytest.mark.parametrize("step", [7, 1000, 65536, 10**6])
def test_chunks_do_not_depend_on_how_the_text_comes(step: int) -> None:
    text = ("word " * 50 + "\n\n" + "# Head\n\n") * 200
    expected = list(Splitter(300, 30).chunks("a.md", [text]))
    assert list(Splitter(300, 30).chunks("a.md", (text[i : i + step] for i in range(0, len(text), step)))) == expected


def test_markdown_is_cut_at_its_headings() -> None:
    text = "# One\n\nsome words here\n\n# Two\n\nother words there\n"
    assert list(Splitter(30, 0).chunks("a.MD", [text])) == ["# One\n\nsome words here", "# Two\n\nother words there"]


def test_blank_text_has_no_chunks_and_a_far_word_is_found() -> None:
    for blank in (" \n", "\r\n", "\u2028", "\x85 \n"):  # each took minutes in the splitter alone
        assert list(Splitter(50, 5).chunks("a.txt", [blank * 50_000])) == []
        assert list(Splitter(50, 5).chunks("a.md", [blank * 50_000 + "    x"])) == ["x"]
    assert list(Splitter(50, 5).chunks("a.txt", ["first" + " " * 100_000 + "last"])) == ["first\n\nlast"]
    assert list(Splitter(50, 5).chunks("a.txt", [" " * 100_000 + "last"])) == ["last"]


SENTENCES = " ".join(f"Sentence number {number} of this paragraph says a little." for number in range(20))


@pytest.mark.parametrize("space", [700, 790])
@pytest.mark.parametrize(
    "opening",
    ["# Retry", "# One\n\n## Two", "Title\n=====", "```pip install tenacity```", "```sh\npip install x\n```"],
)
def test_what_says_nothing_by_itself_stays_with_what_follows(opening: str, space: int) -> None:
    text = f"{SENTENCES[:space]}\n\n{opening}\n\n{SENTENCES[:795]}\n\n{SENTENCES[:700]}"
    chunks = list(Splitter(800, 0).chunks("a.md", [text]))
    assert max(map(len, chunks)) <= 800
    [found] = [chunk for chunk in chunks if opening in chunk]
    assert "Sentence number 0" in found.split(opening)[1]
    assert [word for chunk in chunks for word in chunk.split()] == text.split()


def test_no_first_passage_is_shorter_than_60_characters_if_there_is_more() -> None:
    for opening in ("# x", "![badge](https://example.org/badge.svg)", "Short line.", "# A\n\n# B\n\n# C"):
        for rest in (SENTENCES, SENTENCES[:100], "\n\n".join([SENTENCES[:790]] * 3)):
            first = next(Splitter(800, 100).chunks("a.md", [f"{opening}\n\n{rest}"]))
            assert len(first) >= 60, (opening, first)


def test_a_short_end_stays_with_what_is_before_it_and_a_short_document_is_whole() -> None:
    [chunk] = Splitter(800, 0).chunks("a.md", ["# Only a heading"])
    assert chunk == "# Only a heading"
    *_, last = Splitter(800, 0).chunks("a.md", [f"{SENTENCES[:700]}\n\n## The end"])
    assert last.endswith("## The end") and len(last) > 700


def test_a_heading_that_the_overlap_repeats_is_there_once() -> None:
    chunks = list(Splitter(200, 50).chunks("a.md", [f"# Heading\n\n{SENTENCES[:190]}\n\n{SENTENCES[:190]}"]))
    assert max(map(len, chunks)) <= 200
    assert sum(chunk.count("# Heading") for chunk in chunks) == 1


def test_one_endless_line() -> None:
    chunks = list(Splitter(512, 50).chunks("a.txt", ["x" * 100_000]))
    assert max(map(len, chunks)) == 512
    assert sum(map(len, chunks)) >= 100_000


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (10, 10), (10, -1), (100_001, 0)])
def test_sizes_that_make_no_sense(size: int, overlap: int) -> None:
    with pytest.raises(UsageError) as caught:
        Splitter(size, overlap)
    assert caught.value.code == "chunk_size_invalid"


def test_ids_are_for_ever() -> None:
    assert str(chunk_id("docs", "a/b.md", 0, "0" * 64)) == "b8ac216c-36a6-5bb7-a537-9fb8a9b56c9a"
    others = {chunk_id(*values) for values in (
        ("docs", "a.md", 0, "x"), ("docs", "a.md", 1, "x"), ("docs", "a.md", 0, "y"), ("doc", "sa.md", 0, "x"),
        ("docs", "a.md1", 0, "x"),
    )}  # fmt: skip
    assert len(others) == 5
