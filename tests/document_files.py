"""Documents of all kinds, made by libraries, and what makes them hostile."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DRAWING_NAMESPACE = "http://schemas.openxmlformats.org/drawingml/2006/main"
SHEET_NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
SLIDE_NAMESPACE = "http://schemas.openxmlformats.org/presentationml/2006/main"
WORD_NAMESPACE = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def pdf(pages: Sequence[str], *, title: str = "", password: str = "") -> bytes:
    """A PDF with one text for each page, the first line of each in its outline."""
    from reportlab.lib import pdfencrypt
    from reportlab.pdfgen import canvas

    lock = pdfencrypt.StandardEncryption(password, ownerPassword="owner") if password else None
    target = io.BytesIO()
    made = canvas.Canvas(target, encrypt=lock)
    made.setTitle(title)
    for number, text in enumerate(pages):
        lines = text.split("\n")
        made.bookmarkPage(f"page{number}")
        made.addOutlineEntry(lines[0], f"page{number}", 0)
        for row, line in enumerate(lines):
            made.drawString(50, 800 - 14 * row, line)
        made.showPage()
    made.save()
    return target.getvalue()


def raw_pdf(*objects: bytes) -> bytes:
    """A PDF of these objects, numbered from 1, which is the catalogue."""
    content, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    end = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, len(content))
    return content + head + table + end


def endless_pdf() -> bytes:
    """A PDF whose only page unpacks to 3 GiB."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = b"\x78\x9c" + block * 3072 + b"\x03\x00" + bytes(4)  # readers do not wait for its checksum
    stream = b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(packed), packed)
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>"
    return raw_pdf(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page, stream)


def circular_pdf() -> bytes:
    """A PDF whose tree of pages contains itself and claims two billion pages."""
    return raw_pdf(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2000000000>>")


def word(heading: str, paragraph: str, table: Sequence[Sequence[str]] = (), title: str = "") -> bytes:
    """A Word document: a heading, a paragraph, a table."""
    import docx

    document = docx.Document()
    document.core_properties.title = title
    document.core_properties.author = ""
    document.add_heading(heading, 1)
    document.add_paragraph(paragraph)
    document.add_paragraph("first point", style="List Bullet")
    if table:
        made = document.add_table(len(table), len(table[0]))
        for row, cells in enumerate(table):
            for column, text in enumerate(cells):
                made.cell(row, column).text = text
    return _saved(document)


def slides(title: str, text: str, notes: str = "") -> bytes:
    """A deck of one slide."""
    import pptx

    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.title.text, slide.placeholders[1].text = title, text
    if notes:
        slide.notes_slide.notes_text_frame.text = notes
    return _saved(deck)


def sheets(tables: Mapping[str, Sequence[Sequence[Any]]]) -> bytes:
    """A workbook with these sheets."""
    import xlsxwriter

    target = io.BytesIO()
    book = xlsxwriter.Workbook(target, {"in_memory": True})
    for name, rows in tables.items():
        sheet = book.add_worksheet(name)
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    book.close()
    return target.getvalue()


def _saved(document: Any) -> bytes:
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()


# --- hostile ones ----------------------------------------------------------------------------------------------------


def with_part(package: bytes, part: str, content: bytes) -> bytes:
    """An Office file with one part replaced."""
    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(package)) as source,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made,
    ):
        for name in source.namelist():
            made.writestr(name, content if name == part else source.read(name))
    return target.getvalue()


def bomb(package: bytes, mebibytes: int) -> bytes:
    """An Office file with a part that says it unpacks to so many MiB."""
    target = io.BytesIO(package)
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as made:
        made.writestr("word/media/image1.png", bytes(1 << 20))
        made.infolist()[-1].file_size = mebibytes << 20
    return target.getvalue()


def laughs() -> bytes:
    """A body of a Word document whose one entity grows to a billion."""
    return _growing(
        f'<w:document xmlns:w="{WORD_NAMESPACE}"><w:body><w:p><w:r><w:t>&k;</w:t></w:r></w:p></w:body></w:document>'
    )


def laughing_slide() -> bytes:
    """A slide whose one entity grows to a billion."""
    return _growing(
        f'<p:sld xmlns:p="{SLIDE_NAMESPACE}" xmlns:a="{DRAWING_NAMESPACE}"><p:cSld><p:spTree><p:sp><p:txBody><a:p><a:r>'
        "<a:t>&k;</a:t></a:r></a:p></p:txBody></p:sp></p:spTree></p:cSld></p:sld>"
    )


def _growing(body: str) -> bytes:
    entities = "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(10))
    return f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "ha">{entities}]>{body}'.encode()


def protected_office() -> bytes:
    """What an Office file looks like from outside once it has a password: an old container with this stream."""
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
    return head + "EncryptedPackage".encode("utf-16-le") + bytes(1000)


def far_cell() -> bytes:
    """A workbook with two cells, in opposite corners of the largest sheet that may be."""
    return _sheet('<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>')


def wide_sheet(text: str) -> bytes:
    """A workbook with a row of a million cells, the first of which holds a text."""
    cells = (f'<c t="inlineStr"><is><t>{value}</t></is></c>' for value in (text, *range(1_000_000)))
    return _sheet(f'<row r="1">{"".join(cells)}</row>')


def _sheet(rows: str) -> bytes:
    sheet = f'<worksheet xmlns="{SHEET_NAMESPACE}"><sheetData>{rows}</sheetData></worksheet>'
    return with_part(sheets({"one": [["a"]]}), "xl/worksheets/sheet1.xml", sheet.encode())
