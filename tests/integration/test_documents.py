"""A folder of what people have, a third of it broken or made to do harm: ingested, then asked."""

# ruff: noqa: RUF001, F811
from __future__ import annotations

import base64
import bisect
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ragops.ingest.documents import kinds
from tests import document_files as files
from tests.integration.test_ingest import EMBEDDER, World, migrated, store, world  # noqa: F401

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
ANIMALS = re.findall(
    r"\w+",
    "pelican otter badger heron lynx marten osprey weasel puffin walrus beaver magpie stoat gannet hedgehog bison ibex"
    " cormorant chamois polecat wigeon curlew dormouse grebe kestrel lapwing merlin nuthatch oriole petrel quail"
    " razorbill siskin teal urial vole whimbrel yak zander avocet bunting crake dunlin egret fulmar godwit hobby"
    " jackdaw knot linnet",
)


def fact(number: int) -> str:
    """A sentence that no other document has."""
    return f"The {ANIMALS[number]} of house {number} keeps its {ANIMALS[number]}box under the stairs."


def question(number: int) -> str:
    return f"where does the {ANIMALS[number]} keep its {ANIMALS[number]}box?"


FUSION = {"k": 1, "weights": [1.0, 1.9]}  # as the API has it
FILLER = "Other rooms of the building are cleaned on Mondays, and the lamps are checked. " * 6
MAIL = "From: a@example.org\r\nTo: b@example.org\r\nSubject: note\r\nMIME-Version: 1.0\r\n"


def page(text: str, head: str = "") -> str:
    return (
        f"<html><head><title>House</title>{head}</head><body><nav><a href='/'>Home</a></nav><main><h1>House</h1>"
        f"<p>{text}</p><p>{FILLER}</p></main><footer>Imprint</footer></body></html>"
    )


def mail(kind: str, text: str) -> bytes:
    body = base64.encodebytes(text.encode()).decode()
    return f"{MAIL}Content-Type: {kind}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{body}".encode()


def cell(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": [source]}


# The name of each readable file, and how it is made of a sentence.
READABLE: dict[str, Callable[[str], bytes]] = {
    "plain.md": lambda text: f"# House\n\n{text}\n".encode(),
    "UPPER.MD": lambda text: f"# House\n\n{text}\n".encode(),
    "yaml.md": lambda text: f"---\ntitle: House\ntags: [a, b]\n---\n{text}\n".encode(),
    "toml.md": lambda text: f'+++\ntitle = "House"\n+++\n{text}\n'.encode(),
    "described.md": lambda text: f"---\ndescription: {text}\n---\nNothing else.\n".encode(),
    "page.mdx": lambda text: f'import A from "a"\n\n# House\n\n<A b="c">{text}</A>\n'.encode(),
    "page.rst": lambda text: f"House\n=====\n\n{text}\n".encode(),
    "sphinx.rst": lambda text: f"House\n=====\n\n.. note::\n   :class: x\n\n   {text}\n".encode(),
    "page.html": lambda text: page(text).encode(),
    "latin.html": lambda text: page(text + " Größe.", '<meta charset="iso-8859-1">').encode("latin-1"),
    "deep.html": lambda text: f"<body><p>House</p>{'<div>' * 300}{text}{'</div>' * 300}".encode(),
    "list.htm": lambda text: ("<ul>" + "".join(f"<li>{line}</li>" for line in (text, FILLER)) + "</ul>").encode(),
    "one.pdf": lambda text: files.pdf([f"House\n{text}"]),
    "third-page.pdf": lambda text: files.pdf(["First", "Second", f"Third\n{text}"], title="House"),
    "text.docx": lambda text: files.word("House", text),
    "table.docx": lambda text: files.word("House", "See below.", [["room", "rule"], ["hall", text]]),
    "heading.docx": lambda text: files.word(text, "Nothing else."),
    "deck.pptx": lambda text: files.slides("House", text),
    "notes.pptx": lambda text: files.slides("House", "See the notes", text),
    "one.xlsx": lambda text: files.sheets({"Rules": [["room", "rule"], ["hall", text]]}),
    "second.xlsx": lambda text: files.sheets({"Empty": [], "Rules": [["room", "rule"], ["hall", text]]}),
    "wide.xlsx": files.wide_sheet,
    "comma.csv": lambda text: f'room,rule\nhall,"{text}"\n'.encode(),
    "semicolon.csv": lambda text: f"room;rule\nFlügel;{text}\n".encode("cp1252"),
    "tab.tsv": lambda text: f"room\trule\nhall\t{text}\n".encode(),
    "data.json": lambda text: json.dumps({"rooms": [{"name": "hall", "rule": text}]}).encode(),
    "lines.jsonl": lambda text: (json.dumps({"rule": "none"}) + "\n" + json.dumps({"rule": text})).encode(),
    "book.ipynb": lambda text: json.dumps({"cells": [cell("# House"), cell(text)]}).encode(),
    "plain.eml": lambda text: f"{MAIL}\r\n{text}\r\n".encode(),
    "coded.eml": lambda text: mail("text/plain", text),
    "attached.eml": lambda text: (
        f"{MAIL}Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n"
        f"Content-Disposition: attachment; filename=m.eml\r\n\r\n{MAIL}\r\n{text}\r\n--x--\r\n"
    ).encode(),
    "html.eml": lambda text: mail("text/html", page(text)),
    "box.mbox": lambda text: f"From a Mon\nSubject: x\n\nfirst\n\nFrom b Mon\nSubject: y\n\n{text}\n".encode(),
    "plain.txt": lambda text: text.encode(),
    "marked.txt": lambda text: text.encode("utf-8-sig"),
    "utf16.txt": lambda text: text.encode("utf-16"),
    "utf32.txt": lambda text: text.encode("utf-32"),
    "western.txt": lambda text: f"Größe und Maß: {text} Schöne Grüße.".encode("cp1252"),
    "cyrillic.txt": lambda text: f"Все люди рождаются свободными и равными. {text} Все люди.".encode("cp1251"),
    "japanese.txt": lambda text: ("すべての人間は、生まれながらにして自由である。" * 8 + text).encode("shift_jis"),
    "code.py": lambda text: f'"""{text}"""\n\nx = 1\n'.encode(),
    "code.js": lambda text: f"// {text}\nlet x = 1\n".encode(),
    "code.go": lambda text: f"package main // {text}\n".encode(),
    "schema.sql": lambda text: f"-- {text}\nSELECT 1;\n".encode(),
    "run.sh": lambda text: f"#!/bin/sh\n# {text}\n".encode(),
    "settings.yaml": lambda text: f"rule: {text}\n".encode(),
    "settings.toml": lambda text: f'rule = "{text}"\n'.encode(),
    "guide.adoc": lambda text: f"= House\n\n{text}\n".encode(),
}
# What is on every machine that runs this, and a question that it answers.
FOUND = {
    "recovery.md": (
        ROOT / "docs" / "recovery.md",
        "one set over all services: every shard with collections, indexes, aliases",
    ),
    "glossary.md": (ROOT / "docs" / "glossary.md", "glossary of terms shard replica upstream drift"),
    "LICENSE.txt": (ROOT / "LICENSE", "Apache License terms and conditions for use reproduction and distribution"),
    "bisect.py": (Path(bisect.__file__), "bisect insort insert item x in sorted list a"),
    "pyproject.toml": (ROOT / "pyproject.toml", "hatchling build-backend pydantic typer qdrant-client"),
}
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "bomb.docx": (lambda: files.bomb(files.word("h", "p"), 2000), "unpacks to 2,0"),
    "laughs.docx": (
        lambda: files.with_part(files.word("h", "p"), "word/document.xml", files.laughs()),
        "amplification",
    ),
    "laughs.pptx": (
        lambda: files.with_part(files.slides("h", "p"), "ppt/slides/slide1.xml", files.laughing_slide()),
        "amplification",
    ),
    "cut.docx": (lambda: files.word("h", "p")[:9000], "damaged"),
    "locked.docx": (files.protected_office, "protected by a password"),
    "locked.xlsx": (files.protected_office, "protected by a password"),
    "locked.pptx": (files.protected_office, "protected by a password"),
    "old.docx": (lambda: b"\xd0\xcf\x11\xe0" + bytes(2000), "Office 97"),
    "empty.docx": (lambda: b"", "empty"),
    "far.xlsx": (files.far_cell, "converter crashed"),
    "endless.pdf": (files.endless_pdf, "more than|no text|damaged"),
    "circular.pdf": (files.circular_pdf, "damaged PDF"),
    "cut.pdf": (lambda: files.pdf(["words " * 50])[:400], "damaged PDF"),
    "noise.pdf": (lambda: b"%PDF-1.7\n" + bytes(range(256)) * 100, "damaged PDF"),
    "locked.pdf": (lambda: files.pdf(["secret"], password="pw"), "protected by a password"),
    "scan.pdf": (lambda: files.pdf(["", ""]), "no text"),
    "picture.pdf": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "not a PDF: it is a PNG image"),
    "word.txt": (lambda: files.word("h", "p"), "it is a Word document, rename it to .docx"),
    "picture.md": (lambda: b"\xff\xd8\xff" + bytes(100), "it is a JPEG image"),
    "bottomless.html": (lambda: b"<div>" * 50_000 + b"x", "nested more than 2000 deep"),
    "bottomless.json": (lambda: b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    "cut.json": (lambda: b'{"a": [1,', "not JSON: line 1"),
    "nested.eml": (
        lambda: (
            b"Subject: x\r\n"
            + b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in range(3000))
        ),
        "nested too deeply|more than 500 parts",
    ),
    "zeros.csv": (lambda: bytes(1 << 20), "binary"),
    "program.txt": (lambda: b"\x7fELF" + bytes(1000), "it is a program"),
}


def best(world: World, asked: str) -> str:
    """The path of the first hit, as the API asks: vectors and words fused by rank."""
    vector = EMBEDDER.embed([asked])[0]
    words = {"query": {"text": asked, "model": "qdrant/bm25"}, "using": "bm25", "limit": 50}
    body = {"prefetch": [{"query": list(vector), "limit": 50}, words], "query": {"rrf": FUSION}, "limit": 1}
    points = world.store.post("/collections/docs/points/query", {**body, "with_payload": True})["points"]
    return points[0]["payload"]["path"] if points else ""


@pytest.mark.campaign(sample=0)
def test_everything_readable_is_found_and_nothing_else_fails(world: World) -> None:
    assert len(READABLE) + len(FOUND) + len(HOSTILE) + 3 >= 60
    for number, (name, make) in enumerate(READABLE.items()):
        world.write(f"{number % 5}/{name}", make(fact(number)))
    for name, (source, _) in FOUND.items():
        world.write(f"found/{name}", source.read_bytes())
    for name, (make, _) in HOSTILE.items():
        world.write(f"hostile/{name}", make())
    with (world.directory / "hostile" / "sparse.txt").open("wb") as stream:
        stream.truncate(1 << 30)
    (world.directory / "hostile" / "loop.md").symlink_to("loop.md")
    (world.directory / "hostile" / "out.md").symlink_to("/etc/passwd")
    world.sql("UPDATE rag.collections SET chunk_size = 300, file_types = '{}' WHERE name = 'docs'")

    report = world.run()

    reasons = {Path(one.path).name: one.reason for one in report.failed}
    assert reasons.keys() == HOSTILE.keys()
    for name, (_, reason) in HOSTILE.items():
        assert any(part in reasons[name] for part in reason.split("|")), (name, reasons[name])
    assert report.added == len(READABLE) + len(FOUND)
    assert report.left_out_counts == {"larger than 64.0 MiB": 1}
    missed = [
        (name, found)
        for number, name in enumerate(READABLE)
        if Path(found := best(world, question(number))).name != name
    ]
    missed += [(name, found) for name, (_, asked) in FOUND.items() if Path(found := best(world, asked)).name != name]
    assert missed == []
    payloads = {Path(point["path"]).name: point for point in world.store.points("docs").values()}
    assert payloads["third-page.pdf"]["heading"] == "First > Page 1"
    assert payloads["deck.pptx"]["heading"] == "Slide 1: House"
    assert payloads["one.xlsx"]["heading"] == "Rules"
    assert payloads["third-page.pdf"]["metadata"]["title"] == "House"
    assert "heading" not in payloads["plain.txt"]
    world.check()

    again = world.run()
    assert (again.changed, again.added, again.failed, again.unchanged) == (0, 0, report.failed, report.added)


def test_every_kind_is_in_the_folder() -> None:
    there = {kinds.kind_of(name).name for name in READABLE}
    assert there == {kind.name for kind in kinds.KINDS}


def test_a_library_that_is_not_installed_is_named_with_the_command(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world.write("good.md", "# Text\n\nsome words here\n")
    world.write("one.pdf", files.pdf(["words"]))
    world.sql("UPDATE rag.collections SET file_types = '{md,pdf}' WHERE name = 'docs'")
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    report = world.run()
    assert (report.added, [one.path for one in report.failed]) == (1, ["one.pdf"])
    assert "PDF needs the extra `documents`: run `" in report.failed[0].reason
    assert "[documents]" in report.failed[0].reason
    monkeypatch.undo()
    assert world.run().changed == 1  # nothing has to be touched once it is there
