"""What a file is, by the ending of its name and by its first bytes."""

from __future__ import annotations

import importlib.util
import re
from typing import NamedTuple

from ragops.adapters.installation import install_command


class Kind(NamedTuple):
    """How files of one kind are read.

    `converter` is the converter's name, empty if the file's own text is taken. `is_markdown` holds for the text that
    comes out. `module` is the library that must be there, `signatures` are the first bytes that such a file may have.
    """

    name: str
    endings: tuple[str, ...]
    converter: str = ""
    is_markdown: bool = False
    module: str = ""
    signatures: tuple[str, ...] = ()


_CODE = (
    "py pyi js jsx mjs cjs ts tsx go rs java kt kts scala c h cc cpp cxx hpp hh cs fs rb php pl pm lua r jl swift m"
    " dart ex exs erl hs ml clj sh bash zsh fish ps1 bat sql graphql proto tf hcl nix vue svelte"
)
PLAIN = Kind("text", ("txt", "text", "adoc", "asciidoc", "org", "tex"))
KINDS = (
    PLAIN,
    Kind("Markdown", ("md", "markdown"), is_markdown=True),
    Kind("MDX", ("mdx",), "markdown", is_markdown=True),
    Kind("reStructuredText", ("rst", "rest"), "rst", is_markdown=True),
    Kind("HTML", ("html", "htm", "xhtml"), "html", is_markdown=True, module="trafilatura"),
    Kind("PDF", ("pdf",), "pdf", is_markdown=True, module="pypdfium2", signatures=("a PDF",)),
    Kind("Word", ("docx", "docm"), "word", is_markdown=True, module="docx", signatures=("a Word document",)),
    Kind(
        "PowerPoint", ("pptx", "pptm"), "slides", is_markdown=True, module="pptx", signatures=("a PowerPoint file",)
    ),
    Kind(
        "spreadsheet", ("xlsx", "xlsm", "xls", "ods"), "sheets", is_markdown=True, module="python_calamine",
        signatures=("an Excel workbook", "an OpenDocument file", "an old Office file"),
    ),
    Kind("CSV", ("csv", "tsv"), "csv"),
    Kind("JSON", ("json", "jsonl", "ndjson", "ipynb"), "json"),
    Kind("e-mail", ("eml",), "mail", is_markdown=True),
    Kind("mailbox", ("mbox",), "mailbox", is_markdown=True),
    Kind("settings", ("yaml", "yml", "toml", "ini", "cfg", "conf", "properties")),
    Kind("source code", tuple(_CODE.split())),
)  # fmt: skip
_BY_ENDING = {ending: kind for kind in KINDS for ending in kind.endings}
# Old binary Office files and protected ones have the same first bytes; spreadsheets' library reads the former.
_SIGNATURES = (
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a RIFF file (WebP, WAV or AVI)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program (ELF)"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\xd0\xcf\x11\xe0", "an old Office file"),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript file"),
)
# Names of parts at the beginning of a ZIP file.
_ZIPPED = (
    (b"mimetypeapplication/epub", "an EPUB book"),
    (b"mimetypeapplication/vnd.oasis", "an OpenDocument file"),
    (b"word/", "a Word document"),
    (b"ppt/", "a PowerPoint file"),
    (b"xl/", "an Excel workbook"),
)
_PDF = re.compile(rb"%PDF-\d")
HEAD = 64 << 10  # bytes that `signature` looks at
_PDF_HEAD = 1024


def kind_of(name: str) -> Kind:
    """Return the kind of a file by the ending of its name; unknown endings are text."""
    return _BY_ENDING.get(name.rpartition(".")[2].casefold(), PLAIN) if "." in name else PLAIN


def all_endings() -> list[str]:
    """Return the endings of everything that can be read."""
    return list(_BY_ENDING)


def signature(head: bytes, tail: bytes = b"") -> str:
    """Return what the first bytes show a file to be, such as `a PNG image`; empty if they show nothing.

    `tail` are its last bytes: a ZIP file has its list of parts there.
    """
    if _PDF.search(head[:_PDF_HEAD]):
        return "a PDF"
    if head.startswith(b"PK\x03\x04"):
        return next((name for mark, name in _ZIPPED if mark in head or mark in tail), "a ZIP archive")
    return next((name for mark, name in _SIGNATURES if head.startswith(mark)), "")


def mismatch(kind: Kind, head: bytes, tail: bytes = b"") -> str:
    """Return why the content is not that of `kind`, empty if it may be."""
    found = signature(head, tail)
    if kind.signatures and not head:
        return "empty"
    if kind.signatures and found not in kind.signatures:
        if found == "an old Office file":
            return ""  # its converter finds out whether it is protected
        return f"not {kind.signatures[0]}" + (f": it is {found}" if found else "")
    if not kind.signatures and found:
        ending = next((one.endings[0] for one in KINDS if found in one.signatures), "")
        return f"binary: it is {found}" + (f", rename it to .{ending}" if ending else "")
    return ""


def missing_extra(kind: Kind) -> str:
    """Return how to get the library that `kind` needs, empty if it is there."""
    if not kind.module or importlib.util.find_spec(kind.module):
        return ""
    return f"{kind.name} needs the extra `documents`: run `{install_command('documents')}`"
