"""The text of one small document of each kind, word for word."""

# ruff: noqa: RUF001
from __future__ import annotations

import json
import re

import pytest

from ragops.ingest.documents import child, kinds, office
from tests import document_files as files

PAGE = (
    "<!DOCTYPE html><html lang='en'><head><title>Sea birds</title><style>p {}</style></head><body>"
    "<nav><a href='/'>Home</a> <a href='/shop'>Shop of the week</a></nav>"
    "<main><h1>Pelicans</h1><p>Pelicans are large water birds that hunt fish in groups, mostly at dawn.</p>"
    "<h2>Food</h2><p>An adult eats two kilograms a day, and it drinks the rain that falls.</p>"
    "<table><tr><th>bird</th><th>grams</th></tr><tr><td>adult</td><td>2000</td></tr></table></main>"
    "<footer>Cookie settings</footer><script>track()</script></body></html>"
)
MAIL = (
    "From: Ada <ada@example.org>\r\nTo: bob@example.org\r\nSubject: =?utf-8?q?Fl=C3=BCge?=\r\n"
    'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
    "--b\r\nContent-Type: text/plain; charset=latin-1\r\n\r\nGr\xfc\xdfe vom See\r\n"
    '--b\r\nContent-Type: image/png; name="map.png"\r\nContent-Disposition: attachment; filename="map.png"\r\n\r\nx\r\n'
    "--b--\r\n"
).encode("latin-1")
MDX = """---
title: Tabs
tags: [ui, navigation]
---
import {Tabs} from "@theme/Tabs"
export const rows = [
  {a: 1},
]

# Tabs

Wrap it in <Tabs kind="a">two parts</Tabs>, use `<Tabs>` for {props.more}more.

<Card
  title="gone"
/>

```jsx
import {kept} from "kept"
<Tabs />
```
"""
RST = """
=====
Guide
=====

:Author: Ada

.. note:: Mind :ref:`the gap <gap>`.

Install
-------

.. code-block:: console
   :linenos:

   $ pip install it

See ``pip`` and `its page <https://example.org>`_.

.. toctree::
   :maxdepth: 2

   hidden/page

.. _gap:

Details
~~~~~~~

.. a comment that is not for readers

Last words::

    literal
"""
GOLDEN: dict[str, tuple[bytes, str, dict[str, str]]] = {
    "a.mdx": (
        MDX.encode(),
        "# Tabs\n\nWrap it in two parts, use `<Tabs>` for more.\n\n"
        '```jsx\nimport {kept} from "kept"\n<Tabs />\n```',
        {"title": "Tabs", "tags": "ui, navigation"},
    ),
    "front.mdx": (
        b"---\ntitle: Otters\ndescription: They swim.\n---\nText.\n",
        "# Otters\n\nThey swim.\n\nText.",
        {"title": "Otters", "description": "They swim."},
    ),
    "a.rst": (
        RST.encode(),
        "# Guide\n\nNote: Mind `the gap`.\n\n## Install\n\n```console\n\n   $ pip install it\n```\n\n"
        "See `pip` and its page.\n\n### Details\n\nLast words:\n\n    literal",
        {"title": "Guide", "Author": "Ada"},
    ),
    "a.html": (
        PAGE.encode(),
        "# Pelicans\n\nPelicans are large water birds that hunt fish in groups, mostly at dawn.\n\n## Food\n\n"
        "An adult eats two kilograms a day, and it drinks the rain that falls.\n\n"
        "| bird | grams |\n|---|---|\n| adult | 2000 |",
        {"title": "Sea birds", "language": "en"},
    ),
    "a.pdf": (
        files.pdf(["Pelicans\nThey eat fish.", "Otters\nThey swim."], title="Animals"),
        "# Pelicans\n\n###### Page 1\n\nPelicans\nThey eat fish.\n\n# Otters\n\n###### Page 2\n\nOtters\nThey swim.",
        {"title": "Animals", "pages": "2"},
    ),
    "a.docx": (
        files.word("Pelicans", "They eat fish.", [["name", "food"], ["Anna", "herring"]], title="Animals"),
        "# Pelicans\n\nThey eat fish.\n\nfirst point\n\nname | food\nname: Anna; food: herring",
        {"title": "Animals"},
    ),
    "a.pptx": (
        files.slides("Plans", "Otters swim at dawn", "say hello"),
        "## Slide 1: Plans\n\nOtters swim at dawn\n\nNotes: say hello",
        {},
    ),
    "a.xlsx": (
        files.sheets({"Prices": [["bird", "price"], ["pelican", 12.5], ["otter", 99]], "Empty": []}),
        "## Prices\n\nbird | price\nbird: pelican; price: 12.5\nbird: otter; price: 99\n\n## Empty",
        {"sheets": "Prices, Empty"},
    ),
    "a.csv": (
        "name;city\r\nAda;Zürich\r\n\r\nBob;\"New\nYork\"\r\n".encode("cp1252"),
        "name | city\nname: Ada; city: Zürich\nname: Bob; city: New York",
        {},
    ),
    "b.tsv": (b"1\t2\n3\t4\n", "1; 2\n3; 4", {}),
    "a.json": (
        json.dumps({"title": "Zoo", "animals": [{"name": "otter", "legs": 4}], "tags": ["a", None]}).encode(),
        "title: Zoo\nanimals[0].name: otter\nanimals[0].legs: 4\ntags: a, null",
        {"title": "Zoo"},
    ),
    "a.jsonl": (b'{"a": 1, "b": "x"}\n\n{"a": {"c": 2}}\n', "a: 1; b: x\na.c: 2", {}),
    "a.ipynb": (
        json.dumps({"cells": [
            {"cell_type": "markdown", "source": ["# Head\n", "text"]}, {"cell_type": "code", "source": "x = 1"},
        ]}).encode(),
        "# Head\ntext\n\n```\nx = 1\n```",
        {},
    ),
    "a.eml": (
        MAIL,
        "# Flüge\n\nFrom: Ada <ada@example.org>\nTo: bob@example.org\n\nGrüße vom See\n\nAttachments: map.png",
        {"title": "Flüge", "from": "Ada <ada@example.org>", "to": "bob@example.org"},
    ),
    "a.mbox": (
        b"From a@b Mon Jan 1\nSubject: One\n\nfirst\n\nFrom a@b Mon Jan 1\nSubject: Two\n\n>From here on\n",
        "# One\n\nfirst\n\n# Two\n\nFrom here on",
        {},
    ),
    "legacy.txt": ("Größe: 3 €".encode("cp1252"), "Größe: 3 €", {"encoding": "windows-1252"}),
    "russian.txt": (
        "Все люди рождаются свободными и равными в своем достоинстве и правах.".encode("cp1251"),
        "Все люди рождаются свободными и равными в своем достоинстве и правах.",
        {"encoding": "cp1251"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_text_and_metadata_of_a_document(name: str) -> None:
    data, text, metadata = GOLDEN[name]
    kind = kinds.kind_of(name)
    assert kinds.mismatch(kind, data[: kinds.HEAD], data[-kinds.HEAD :]) == "" or not kind.converter
    found = child.convert(kind.converter or "plain", name, data)
    assert re.sub(r"\n{3,}", "\n\n", found.text).strip() == text
    assert {
        key: value for key, value in found.metadata.items() if value not in ("anonymous", "unspecified")
    } == metadata


def test_every_converter_has_a_golden_document() -> None:
    tried = {kinds.kind_of(name).converter or "plain" for name in GOLDEN}
    assert tried == set(child._CONVERTERS)


def test_front_matter_that_is_none_stays() -> None:
    for text in ("---\n\nA rule above.\n", "---\nno: [end\n---\ntext\n", "---\njust words\n---\nmore\n"):
        assert child.convert("markdown", "a.md", text.encode()).text == text


def test_front_matter_of_aliases_does_not_grow() -> None:
    lines = "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9))
    found = child.convert("markdown", "a.md", f"---\na: &a [x]\n{lines}title: *j\n---\ntext\n".encode())
    assert (found.text, found.metadata) == ("text\n", {"a": "x"})


def test_a_page_without_main_content_keeps_its_text() -> None:
    items = "".join(f"<li><a href='/{n}'>chapter {n}</a></li>" for n in range(50))
    found = child.convert("html", "a.html", f"<title>Index</title><ul>{items}</ul>".encode())
    assert "chapter 49" in found.text
    assert found.text.startswith("# Index")


def test_text_deeper_than_the_parser_likes_is_not_lost() -> None:
    page = "<p>top</p>" + "<div>" * 300 + "deep words" + "</div>" * 300
    assert "deep words" in child.convert("html", "a.html", page.encode()).text


def test_a_page_in_a_declared_encoding() -> None:
    page = '<meta charset="koi8-r"><p>Все люди рождаются свободными</p>'.encode("koi8-r")
    assert "свободными" in child.convert("html", "a.html", page).text


def test_an_entity_is_not_read_from_a_file() -> None:
    body = (
        '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/hostname">]><w:document '
        f'xmlns:w="{files.WORD_NAMESPACE}"><w:body><w:p><w:r><w:t>before&a;</w:t></w:r></w:p></w:body></w:document>'
    )
    package = files.with_part(files.word("h", "p"), "word/document.xml", body.encode())
    assert child.convert("word", "a.docx", package).text.strip() == "before"


BROKEN = {
    "bomb.docx": (lambda: files.bomb(files.word("h", "p"), 600), "unpacks to 60"),
    "laughs.docx": (
        lambda: files.with_part(files.word("h", "p"), "word/document.xml", files.laughs()),
        "amplification",
    ),
    "cut.docx": (lambda: files.word("h", "p")[:9000], "damaged"),
    "locked.docx": (files.protected_office, "protected by a password"),
    "locked.xlsx": (files.protected_office, "protected by a password"),
    "old.docx": (lambda: b"\xd0\xcf\x11\xe0" + bytes(2000), "Office 97"),
    "locked.pdf": (lambda: files.pdf(["secret"], password="pw"), "protected by a password"),
    "cut.pdf": (lambda: files.pdf(["words " * 50])[:400], "damaged PDF"),
    "circle.pdf": (files.circular_pdf, "damaged PDF"),
    "scan.pdf": (lambda: files.pdf(["", ""]), "it has no text"),
    "deep.html": (lambda: b"<div>" * 50_000 + b"x", "nested more than 2000 deep"),
    "deep.json": (lambda: b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    "cut.json": (lambda: b'{"a": [1,', "not JSON: line 1"),
    "cut.jsonl": (lambda: b'{"a": 1}\n{"a"', "not JSON: line 2"),
    "long.csv": (lambda: b'a,b\n"' + b"x" * 2_000_000 + b'",1\n', "not CSV: line 2"),
    "zeros.csv": (lambda: bytes(100_000), "binary"),
    "no.eml": (lambda: b"just some text\n", "not an e-mail"),
    "no.mbox": (lambda: b"just some text\n", "not a mailbox"),
    "noise.txt": (lambda: bytes(range(1, 256)) * 50, "binary"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_reason_is_named_for_a_file_that_cannot_be_converted(name: str) -> None:
    make, reason = BROKEN[name]
    with pytest.raises(Exception, match=reason):  # the process around it reports what a library raises
        child.convert(kinds.kind_of(name).converter or "plain", name, make())


def test_a_sheet_keeps_all_its_columns() -> None:
    names = [f"c{number}" for number in range(1200)]
    found = office.convert_sheets(files.sheets({"Wide": [names, [f"v{number}" for number in range(1200)]]}))
    assert "c1199: v1199" in found.text
