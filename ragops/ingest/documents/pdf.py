"""PDF: the text of each page under the headings of the outline."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

import pypdfium2

from ragops.ingest.documents.converted import Converted, Text, UnreadableError, metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST_HEADINGS, _DEEPEST = 5000, 5
_MOST_PAGES = 20_000
# A hyphen at the end of a line, which PDFium marks so.
_HYPHEN = re.compile(r"[\x02\ufffe]\s*\n?|(?<=[a-zß-ÿ])-\n(?=[a-zß-ÿ])")
_PASSWORD = 4  # FPDF_ERR_PASSWORD


def convert_pdf(data: bytes) -> Converted:
    """Return the pages' text; a heading `Page N` begins each page, headings of the outline where they point to.

    Raises UnreadableError for a protected file, and for one without any text.
    """
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == _PASSWORD or "assword" in str(error):
            raise UnreadableError("protected by a password") from error
        raise UnreadableError(f"damaged PDF: {error}") from error
    pages = len(document)
    if pages > _MOST_PAGES:
        raise UnreadableError(f"its page count is {pages:,}, more than {_MOST_PAGES:,}")
    headings = _headings(document)
    out, found = Text(), 0
    for number in range(pages):
        text = _page(document, number)
        found += len(text)
        for level, title in headings.get(number, ()):
            out.heading(level, title)
        if text:
            out.heading(6, f"Page {number + 1}")
            out.add(text)
    if not found:
        raise UnreadableError(f"it has no text, only images or nothing, on its {pages} pages")
    known = document.get_metadata_dict(skip_empty=True)
    values = [(key.lower(), known.get(key)) for key in ("Title", "Author", "Subject", "Keywords")]
    return Converted(out.result(), metadata([*values, ("pages", pages)]))


def _page(document: pypdfium2.PdfDocument, number: int) -> str:
    try:
        page = document[number]
    except pypdfium2.PdfiumError:
        return ""  # one page is damaged: the others have their text
    try:
        text = page.get_textpage().get_text_range()
    except pypdfium2.PdfiumError:
        return ""
    finally:
        page.close()
    return _HYPHEN.sub("", text.replace("\r\n", "\n")).strip()


def _headings(document: pypdfium2.PdfDocument) -> Mapping[int, Sequence[tuple[int, str]]]:
    found: dict[int, list[tuple[int, str]]] = defaultdict(list)
    try:
        for count, mark in enumerate(document.get_toc(max_depth=_DEEPEST)):
            target = mark.get_dest()
            page = target.get_index() if target else None
            if page is not None and page >= 0:
                found[page].append((mark.level + 1, mark.get_title()))
            if count >= _MOST_HEADINGS:
                break
    except pypdfium2.PdfiumError:
        pass  # an outline helps, the text is there without it
    return found
