"""Word, PowerPoint and spreadsheets."""

from __future__ import annotations

import datetime
import io
import zipfile
from typing import TYPE_CHECKING, Any

from ragops.ingest.documents.converted import Converted, Text, UnreadableError, metadata
from ragops.ingest.documents.data import add_table

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIB = 1 << 20
# Unpacked: what the libraries hold in memory at once. Real documents stay far below both.
_LARGEST_PART, _LARGEST_ALL, _MOST_PARTS = 256 * _MIB, 512 * _MIB, 20_000
_PROTECTED = "EncryptedPackage".encode("utf-16-le")
_OLD = b"\xd0\xcf\x11\xe0"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_COMPATIBLE = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"


def check_package(data: bytes, *, may_be_old: bool = False) -> None:
    """Raise UnreadableError if an Office file is protected, of the old kind, damaged or a bomb."""
    if data.startswith(_OLD):
        if _PROTECTED in data:
            raise UnreadableError("protected by a password")
        if not may_be_old:
            raise UnreadableError("a file of Office 97 to 2003: save it in the present format")
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            parts = package.infolist()
    except (zipfile.BadZipFile, ValueError, OverflowError) as error:
        raise UnreadableError(f"damaged: {error}") from error
    total, largest = sum(part.file_size for part in parts), max((part.file_size for part in parts), default=0)
    if total > _LARGEST_ALL or largest > _LARGEST_PART:
        raise UnreadableError(f"it unpacks to {total / _MIB:,.0f} MiB, more than {_LARGEST_ALL // _MIB} MiB may be")
    if len(parts) > _MOST_PARTS:
        raise UnreadableError(f"it has {len(parts):,} parts, more than {_MOST_PARTS:,}")
    if any(part.flag_bits & 1 for part in parts):
        raise UnreadableError("protected by a password")


# --- Word ------------------------------------------------------------------------------------------------------------


def convert_word(data: bytes) -> Converted:
    """Return paragraphs and tables in their order, headings as headings, footnotes at the end."""
    import docx

    check_package(data)
    document = docx.Document(io.BytesIO(data))
    levels = _heading_levels(document)
    out = Text()
    for element in document.element.body.iter(f"{_W}p", f"{_W}tbl"):
        if element.tag == f"{_W}tbl":
            _word_table(out, element)
        elif not any(above.tag in (f"{_W}tbl", f"{_W}txbxContent") for above in element.iterancestors()):
            _paragraph(out, element, levels)
    for part in document.part.package.iter_parts():
        if str(part.partname) == "/word/footnotes.xml":
            _footnotes(out, part.blob)
    core = document.core_properties
    values = [("title", core.title), ("author", core.author), ("subject", core.subject), ("keywords", core.keywords)]
    return Converted(out.result(), metadata(values))


def _heading_levels(document: Any) -> dict[str, int]:
    """Return the level of each style that is a heading, by its id: by name, or by its outline level."""
    levels: dict[str, int] = {}
    for style in document.styles.element.iter(f"{_W}style"):
        name = style.find(f"{_W}name")
        text = (name.get(f"{_W}val") or "").casefold() if name is not None else ""
        outline = style.find(f"{_W}pPr/{_W}outlineLvl")
        if text == "title":
            levels[style.get(f"{_W}styleId", "")] = 1
        elif text.startswith("heading ") and text[8:].isdigit():
            levels[style.get(f"{_W}styleId", "")] = int(text[8:])
        elif outline is not None and (outline.get(f"{_W}val") or "").isdigit():
            levels[style.get(f"{_W}styleId", "")] = int(outline.get(f"{_W}val")) + 1
    return {style: level for style, level in levels.items() if level <= 9}


def _paragraph(out: Text, element: Any, levels: dict[str, int]) -> None:
    text = _word_text(element)
    style = element.find(f"{_W}pPr/{_W}pStyle")
    level = levels.get(style.get(f"{_W}val", ""), 0) if style is not None else 0
    if level:
        out.heading(level, text)
    elif text.strip():
        is_item = element.find(f"{_W}pPr/{_W}numPr") is not None
        out.add(f"- {text}" if is_item else f"\n{text}")


def _word_text(element: Any) -> str:
    parts = []
    for node in element.iter(f"{_W}t", f"{_W}tab", f"{_W}br", f"{_W}cr", f"{_W}noBreakHyphen"):
        if any(above.tag == _COMPATIBLE for above in node.iterancestors()):
            continue  # the same text again, for older programs
        name = node.tag.rpartition("}")[2]
        parts.append(node.text or "" if name == "t" else {"tab": "\t", "noBreakHyphen": "-"}.get(name, "\n"))
    return "".join(parts)


def _word_table(out: Text, element: Any) -> None:
    if any(above.tag == f"{_W}tbl" for above in element.iterancestors()):
        return  # a part of the cell it is in
    rows = (
        [" ".join(_word_text(cell).split()) for cell in row.iterchildren(f"{_W}tc")]
        for row in element.iterchildren(f"{_W}tr")
    )
    out.add("")
    add_table(out, rows)
    out.add("")


def _footnotes(out: Text, blob: bytes) -> None:
    from lxml import etree

    root = etree.fromstring(blob, etree.XMLParser(resolve_entities=False, no_network=True))
    for note in root.iter(f"{_W}footnote"):
        if text := " ".join(_word_text(note).split()):
            out.add(f"\n{text}")


# --- PowerPoint ------------------------------------------------------------------------------------------------------


def convert_slides(data: bytes) -> Converted:
    """Return each slide under a heading with its number and title: texts, tables, notes."""
    import pptx

    check_package(data)
    deck = pptx.Presentation(io.BytesIO(data))
    out = Text()
    for number, slide in enumerate(deck.slides, 1):
        title = slide.shapes.title
        named = " ".join(title.text_frame.text.split()) if title is not None and title.has_text_frame else ""
        out.heading(2, f"Slide {number}: {named}" if named else f"Slide {number}")
        for shape in _shapes(slide.shapes):
            if title is None or shape.shape_id != title.shape_id:
                _shape(out, shape)
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            notes = slide.notes_slide.notes_text_frame.text.strip()
            if notes:
                out.add(f"\nNotes: {notes}")
    core = deck.core_properties
    return Converted(out.result(), metadata([("title", core.title), ("author", core.author)]))


def _shapes(shapes: Any) -> Iterator[Any]:
    waiting = list(shapes)
    while waiting:
        shape = waiting.pop(0)
        if hasattr(shape, "shapes"):
            waiting[:0] = list(shape.shapes)
        else:
            yield shape


def _shape(out: Text, shape: Any) -> None:
    if shape.has_text_frame and shape.text_frame.text.strip():
        out.add("\n" + shape.text_frame.text.replace("\v", "\n"))
    elif getattr(shape, "has_table", False):
        out.add("")
        add_table(out, ([" ".join(cell.text.split()) for cell in row.cells] for row in shape.table.rows))
        out.add("")


# --- spreadsheets ----------------------------------------------------------------------------------------------------


def convert_sheets(data: bytes) -> Converted:
    """Return each sheet under a heading with its name, one line for each row with the names of its columns."""
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError

    check_package(data, may_be_old=True)
    out = Text()
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(data))
        for name in book.sheet_names:
            out.heading(2, name)
            rows = book.get_sheet_by_name(name).to_python(skip_empty_area=True)
            add_table(out, ([_cell(value) for value in row] for row in rows))
    except PasswordError as error:
        raise UnreadableError("protected by a password") from error
    except CalamineError as error:
        raise UnreadableError(f"damaged: {error}") from error
    return Converted(out.result(), metadata([("sheets", ", ".join(book.sheet_names))]))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    return str(value)
