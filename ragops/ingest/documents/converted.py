"""The result of a conversion, and the reason if there is none."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LARGEST_TEXT = 64 << 20  # characters of one document
# Metadata goes with each chunk of the document.
_LONGEST_VALUE, _MOST_VALUES = 300, 20
# Control characters but tab and line end, and halves of surrogate pairs: no database and no terminal takes them.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]+")


class UnreadableError(Exception):
    """A file that cannot be converted; the text is the reason. `is_lasting`: another try would end the same."""

    def __init__(self, reason: str, *, is_lasting: bool = True) -> None:
        super().__init__(reason)
        self.is_lasting = is_lasting


@dataclass(frozen=True)
class Converted:
    """The text of a document, and `metadata` such as title, author and language, all short texts."""

    text: str
    metadata: Mapping[str, str] = field(default_factory=dict)


class Text:
    """Lines on their way to one text of bounded size."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def add(self, part: str) -> None:
        """Append a block of lines. Raises UnreadableError if the document grows too large."""
        self._size += len(part) + 1
        if self._size > LARGEST_TEXT:
            raise UnreadableError(f"it has more than {LARGEST_TEXT >> 20} million characters of text")
        self._parts.append(part)

    def heading(self, level: int, title: str) -> None:
        """Append a heading of Markdown; the level is 1 to 6."""
        title = " ".join(title.split())
        if title:
            self.add(f"\n{'#' * min(max(level, 1), 6)} {title}\n")

    def result(self) -> str:
        """Return all of it, cleaned."""
        return clean("\n".join(self._parts))


def clean(text: str) -> str:
    """Return `text` with line ends of one kind and without control characters."""
    return _UNPRINTABLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n"))


def metadata(values: Iterable[tuple[str, object]]) -> dict[str, str]:
    """Return those `values` that are short texts, numbers or flat lists of them, as texts."""
    found: dict[str, str] = {}
    for key, value in values:
        text = _as_text(value)
        if text and len(found) < _MOST_VALUES:
            found[key[:100]] = text
    return found


def _as_text(value: object) -> str:
    if isinstance(value, list):
        parts = [str(one) for one in value[:_MOST_VALUES] if isinstance(one, (str, int, float))]
        value = ", ".join(parts)
    if value is None or isinstance(value, (dict, set, bytes)):
        return ""
    return " ".join(clean(str(value)[:_LONGEST_VALUE]).split())


def record(pairs: Iterable[tuple[str, str]]) -> str:
    """Return one record on one line: `name: Ada; city: London`; empty values are left out."""
    shown = ((" ".join(key.split()), " ".join(value.split())) for key, value in pairs)
    return "; ".join(f"{key}: {value}" if key else value for key, value in shown if value)
