"""Reads one JSON object with one long array in it, an element at a time, in bounded memory.

Every value has its line. JSON that a database does not take or that most parsers silently lose (a key twice, NaN, a NUL
character, half a surrogate pair) is noted at its value.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = 1 << 20
_LARGEST = 16 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
# A parser that runs out of text fails within the last token: none but a string is longer than "-Infinity".
_LAST_TOKEN = 16


class JsonFault(Exception):  # noqa: N818  not an error to show: its reader turns it into a Problem
    """The text stops being JSON in UTF-8 here; line and column start at 1."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.message = message


@dataclass(slots=True)
class Value:
    """A decoded value, its text, the line where it starts, and what is wrong with it although it is JSON."""

    value: Any
    text: str
    line: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Member:
    """A member of the outer object; `value` is None for the long array, whose elements follow."""

    key: str
    line: int
    value: Value | None


@dataclass(slots=True)
class Element:
    """Element `index` (from 0) of the long array."""

    index: int
    value: Value


def read_document(stream: BinaryIO, array: str) -> Iterator[Member | Element]:
    """Yield the members of the object in `stream`; member `array`, if it is an array, comes element by element.

    Raises JsonFault if the text is not JSON, OSError if it cannot be read.
    """
    source = _Source(stream)
    source.take("{", "an object: {")
    if source.peek() == "}":
        source.take("}", "}")
    else:
        yield from _members(source, array)
    if source.peek():
        raise source.fault("expected nothing after the object")


def _members(source: _Source, array: str) -> Iterator[Member | Element]:
    while True:
        if source.peek() != '"':
            raise source.fault("expected a key in double quotes")
        key = source.value()
        source.take(":", ":")
        if key.value == array and source.peek() == "[":
            yield Member(array, key.line, None)
            yield from _elements(source)
        else:
            yield Member(key.value, key.line, source.value())
        if source.take(",}", ", or }") == "}":
            return


def _elements(source: _Source) -> Iterator[Element]:
    source.take("[", "[")
    if source.peek() == "]":
        source.take("]", "]")
        return
    index = 0
    while True:
        yield Element(index, source.value())
        if source.take(",]", ", or ]") == "]":
            return
        index += 1


class _Source:
    """A window on the text that moves forward; lines are counted up to `_counted` only, on demand."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._ended = False
        self._notes: list[str] = []
        self._text = ""
        self._position = 0
        self._counted = 0
        self._counted_line = 1
        self._first_column = 1
        self._json = json.JSONDecoder(
            object_pairs_hook=self._object, parse_float=self._float, parse_constant=self._constant
        )

    def peek(self) -> str:
        """Return the next character that is not white space; empty at the end."""
        while True:
            space = _SPACE.match(self._text, self._position)
            self._position = space.end() if space else self._position
            if self._position < len(self._text):
                return self._text[self._position]
            if not self._fill():
                return ""

    def take(self, characters: str, expected: str) -> str:
        """Step over the next character, which must be one of `characters`."""
        found = self.peek()
        if not found or found not in characters:
            raise self.fault(f"expected {expected}")
        self._position += 1
        return found

    def value(self) -> Value:
        """Step over the next value and return it."""
        self.peek()
        while True:
            self._notes.clear()
            try:
                value, end = self._json.raw_decode(self._text, self._position)
            except json.JSONDecodeError as error:
                if not self._may_go_on(error) or not self._fill():
                    raise self.fault(error.msg, error.pos) from None
                continue
            except RecursionError:
                raise self.fault("nested too deeply") from None
            except ValueError:
                raise self.fault("a number in here has too many digits") from None
            # At the end of the window a number may have lost its tail: 1 of 1.5e-7.
            if end + _LAST_TOKEN < len(self._text) or not self._fill():
                return self._value(value, end)

    def _value(self, value: Any, end: int) -> Value:
        text = self._text[self._position : end]
        if "\\u" in text:
            self._look_for_lost_characters(value)
        found = Value(value, text, self._line(), tuple(self._notes))
        self._position = end
        return found

    def fault(self, message: str, position: int | None = None) -> JsonFault:
        """Return a JsonFault at `position` in the window, or where reading stands, that states what is there."""
        at = self._position if position is None else position
        line = self._line() + self._text.count("\n", self._position, at)
        line_start = self._text.rfind("\n", 0, at)
        column = at - line_start if line_start >= 0 else at + self._first_column
        found = repr(self._text[at]) if at < len(self._text) else "the end of the file"
        return JsonFault(line, column, f"{message}, found {found}")

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        if len(self._text) - self._position > _LARGEST:
            return False
        return error.pos >= len(self._text) - _LAST_TOKEN or error.msg.startswith("Unterminated string")

    def _line(self) -> int:
        self._counted_line += self._text.count("\n", self._counted, self._position)
        self._counted = self._position
        return self._counted_line

    def _fill(self) -> bool:
        if self._ended:
            return False
        block = self._stream.read(_BLOCK)
        self._ended = not block
        try:
            more = self._utf8.decode(block, self._ended)
        except UnicodeDecodeError as error:
            raise self._not_utf8(error) from None
        self._line()
        line_start = self._text.rfind("\n", 0, self._position)
        self._first_column = self._position - line_start if line_start >= 0 else self._first_column + self._position
        self._text = self._text[self._position :] + more
        self._position = self._counted = 0
        return True

    def _not_utf8(self, error: UnicodeDecodeError) -> JsonFault:
        before = self._text + error.object[: error.start].decode()
        line = self._line() + before.count("\n", self._position)
        line_start = before.rfind("\n")
        column = len(before) - line_start if line_start >= 0 else len(before) + self._first_column
        return JsonFault(line, column, f"not UTF-8: byte 0x{error.object[error.start]:02x} ({error.reason})")

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            keys = [key for key, _ in pairs]
            self._notes += [
                f'the key "{key}" is there {keys.count(key)} times' for key in members if keys.count(key) > 1
            ]
        return members

    def _float(self, text: str) -> float:
        number = float(text)
        if math.isinf(number):
            self._notes.append(f"the number {text[:40]} is too large")
        return number

    def _constant(self, name: str) -> float:
        self._notes.append(f"{name} is not JSON")
        return 0.0

    def _look_for_lost_characters(self, value: Any) -> None:
        if isinstance(value, str):
            if "\0" in value:
                self._notes.append("a string holds a NUL character, which PostgreSQL cannot store")
            if any("\ud800" <= character <= "\udfff" for character in value):
                self._notes.append("a string holds half of a surrogate pair, which is not a character")
        elif isinstance(value, dict):
            for key, inner in value.items():
                self._look_for_lost_characters(key)
                self._look_for_lost_characters(inner)
        elif isinstance(value, list):
            for inner in value:
                self._look_for_lost_characters(inner)


def found(value: Any) -> str:
    """`value` as JSON, shortened, with the name of its type."""
    kinds = {
        bool: "true or false",
        str: "a text",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }
    text = json.dumps(value, ensure_ascii=True) if not isinstance(value, (list, dict)) else ""
    kind = kinds.get(type(value), "nothing: null")
    if isinstance(value, bool) or value is None:
        return text
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({kind})" if text else kind


class HashingReader:
    """A stream that sums what is read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.sum = sha256()

    def read(self, size: int) -> bytes:
        """Return the next block, which goes into `sum`."""
        block = self._stream.read(size)
        self.sum.update(block)
        return block
