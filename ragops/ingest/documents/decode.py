"""Bytes into text: byte order marks, UTF-8, and the encodings from before it."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

from ragops.ingest.documents.converted import UnreadableError

# UTF-32 before UTF-16: the mark of the one begins with that of the other.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = bytes({*range(32)} - {*b"\t\n\r\f\x1b"})
_MOST_CONTROL = 0.001
# A text in UTF-8 with some damage, as a cut or a paste leaves it.
_DAMAGE = 0.02
_SAMPLE = 1 << 20
# What windows-1252 has for texts of Western Europe; a file of little else is taken for that.
_WESTERN = re.compile(
    "[\xa0\xa1\xa3\xa7\xa9\xab\xae\xb0\xbb\xbf-\xcf\xd1-\xd6\xd8-\xdc\xdf-\xef\xf1-\xf6\xf8-\xfc\xff"
    "\u0152\u0153\u20ac\u2013\u2014\u2018-\u201e\u2022\u2026\u2122]"
)


class Decoded(NamedTuple):
    """A text and the name of its encoding."""

    text: str
    encoding: str


def marked_encoding(head: bytes) -> str:
    """Return the encoding that a byte order mark names, empty without one."""
    return next((encoding for mark, encoding in MARKS if head.startswith(mark)), "")


def decode(data: bytes, declared: str = "") -> Decoded:
    """Return the text of `data`, in its `declared` encoding if that holds. Raises UnreadableError if it is none."""
    marked = marked_encoding(data)
    if not marked and b"\0" in data:
        raise UnreadableError("binary: it has NUL bytes")
    for encoding in (marked, "utf-8", declared):
        try:
            if encoding:
                return Decoded(data.decode(encoding), encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    if sum(map(data.count, [bytes([one]) for one in _CONTROL])) > len(data) * _MOST_CONTROL:
        raise UnreadableError("binary: it is not text in any encoding")
    return _damaged(data) or _guess(data)


def _damaged(data: bytes) -> Decoded | None:
    """Take it for UTF-8 if nearly all beyond ASCII is."""
    text = data.decode("utf-8", "replace")
    wrong = text.count("�")
    good = sum(character > "\x7f" for character in text) - wrong
    is_cut = wrong == 1 and text.endswith("�")
    return Decoded(text, "utf-8") if is_cut or wrong < good * _DAMAGE else None


def _guess(data: bytes) -> Decoded:
    from charset_normalizer import from_bytes

    western = data.decode("cp1252", "replace")
    others = [character for character in western if character > "\x7f"]
    # Between accented letters stand plain ones; where most letters are beyond ASCII it is another alphabet.
    is_rare = len(others) <= max(3, len(western) * 0.25)
    if "�" not in western and is_rare and all(map(_WESTERN.match, others)):
        return Decoded(western, "windows-1252")
    best = from_bytes(data[:_SAMPLE]).best()
    if best is None:
        raise UnreadableError("binary, or text in an unknown encoding")
    return Decoded(data.decode(best.encoding, "replace"), best.encoding.replace("_", "-"))
