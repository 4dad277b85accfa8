"""The reader sees the same whatever the size of the pieces it is given."""

from __future__ import annotations

import io
import json

import pytest

from ragops.services.timescaledb.collections.json_reader import Element, JsonFault, Member, read_document

VALUES = [
    1, -12345678901234567890, 0.5, 1e-7, 1.5e300, True, False, None, "", "ü€😀", "\"\\/\b\f\n\r\t", "\u2028",
    {}, {"a": {"b": [[], {}]}}, [], [1, [2, [3]]], "x" * 100,
]  # fmt: skip


class Pieces(io.BytesIO):
    """A stream that never gives more than `size` bytes at once."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self.piece = size

    def read(self, size=-1, /):
        return super().read(self.piece)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 17, 1000, 1 << 20])
@pytest.mark.parametrize("options", [{}, {"indent": 2, "ensure_ascii": False}, {"separators": (",", ":")}])
def test_pieces_of_any_size_give_the_same(size, options):
    document = {"before": VALUES, "list": VALUES, "after": {"x": 1}}
    items = list(read_document(Pieces(json.dumps(document, **options).encode(), size), "list"))
    assert [item.value.value for item in items if isinstance(item, Element)] == VALUES
    members = {item.key: item.value and item.value.value for item in items if isinstance(item, Member)}
    assert members == {"before": VALUES, "list": None, "after": {"x": 1}}


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_lines_and_columns_do_not_depend_on_the_pieces(size):
    text = '{"a": 1,\n "list": [\n  1,\n\n  {"ü": 2},   {"x":\n 3}, nul]}'
    items = read_document(Pieces(text.encode(), size), "list")
    seen = []
    with pytest.raises(JsonFault) as caught:
        seen.extend((item.value.line if isinstance(item, Element) else item.line) for item in items)
    assert (caught.value.line, caught.value.column) == (6, 6)
    one_line = " " * 5000 + "{" + '"a": 1, ' * 400 + "x"
    with pytest.raises(JsonFault) as caught:
        list(read_document(Pieces(one_line.encode(), size), "list"))
    assert (caught.value.line, caught.value.column) == (1, len(one_line))


def test_memory_is_that_of_one_element():
    def pieces():
        yield b'{"list": ['
        for _ in range(300):
            yield b'"' + b"x" * 100_000 + b'",'
        yield b"1]}"

    class Stream:
        source = pieces()
        given = 0

        def read(self, size):
            block = next(self.source, b"")
            self.given += len(block)
            return block

    stream = Stream()
    for count, item in enumerate(read_document(stream, "list")):
        if count == 100 and isinstance(item, Element):
            assert stream.given < 102 * 100_010
    assert count == 301
