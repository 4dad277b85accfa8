"""Text from documents, names, logs and other programs, made safe for a terminal.

A terminal acts on control characters: it can be made to hide lines, to retitle itself, to answer as if it was typed to.
Characters that only turn the direction of text make one name look like another.
"""

from __future__ import annotations

import re

# Colours and other looks of logs (ECMA-48, SGR): they only clutter when they are spelled out.
_LOOKS = re.compile(r"\x1b\[[0-9;:]*m")
# C0 without tab and line feed, DEL, C1; marks, embeddings and isolates of direction; separators of lines.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def printable(text: str) -> str:
    """Return `text` with its control characters spelled out, such as `\\x1b`; tabs and line feeds stay."""
    return _CONTROL.sub(_spell, _LOOKS.sub("", text.replace("\r\n", "\n")))


def one_line(text: str) -> str:
    """Return `text` as `printable` does, without line feeds and tabs: a name or a cell of a table."""
    return printable(text.strip()).replace("\n", " ").replace("\t", " ")


def _spell(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
