"""The headings above a chunk."""

from __future__ import annotations

from ragops.ingest.headings import Headings
from ragops.ingest.split import Splitter


def test_headings_above_the_first_text_of_each_chunk() -> None:
    headings = Headings()
    assert headings.at("no heading yet") == ""
    assert headings.at("# Guide\n\n## Install ##\n\nrun it\n\n## Use\n") == "Guide > Install"
    assert headings.at("more words") == "Guide > Use"
    assert headings.at("### Deep\n") == "Guide > Use > Deep"
    assert headings.at("# Other\n\nwords") == "Other"
    assert headings.at("Old style\n=========\n\nPart\n----\nwords\n\n- a\n- b\n---\n") == "Old style > Part"
    assert headings.at("#no-heading, nor this: a # b") == "Old style > Part"


def test_comments_in_code_are_no_headings() -> None:
    headings = Headings()
    assert headings.at("# Guide\n\n```sh\n# a comment\nmake\n") == "Guide"
    assert headings.at("# the fence goes on\n```\nwords") == "Guide"
    assert headings.at("~~~\n# again\n```\n~~~\n## Next\n") == "Guide"
    assert headings.at("words") == "Guide > Next"


def test_headings_follow_the_chunks_of_a_document() -> None:
    sections = [f"## Part {number}\n\n" + f"word{number} " * 30 for number in range(20)]
    text = "# Book\n\n" + "\n\n".join(sections)
    headings = Headings()
    for chunk in Splitter(120, 20).chunks("a.md", [text]):
        last = chunk.split()[-1]
        assert headings.at(chunk).startswith("Book > Part ")
        if last.startswith("word") and "## " not in chunk:
            assert headings.at(chunk) == f"Book > Part {last.removeprefix('word')}"
