"""Text into chunks of at most `chunkSize` characters, cut where the text itself has its seams.

The work is semantic-text-splitter's: headings and blocks of Markdown, else sentences, words, characters.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from ragops.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Raised when the same text would be cut elsewhere: all collections are then split again.
VERSION = 2
LARGEST_CHUNK = 100_000
_MARKDOWN = (".md", ".markdown", ".mdx")
# Characters given to the splitter at once: its time grows faster than the text if that is one long line.
_WINDOW = 1 << 14
# Its time also grows with the square of a run of line ends: a file of nothing else would take hours.
_END = r"\n\r\x85\u2028\u2029"
_BLANK_LINES = re.compile(rf"[{_END}](?:[^\S{_END}]*[{_END}]){{8,}}")
_FEWER = "\n" * 8
# A chunk that is shorter means nothing by itself: it is kept with what follows.
_SHORT = 60
_HEADING = re.compile(r"#{1,6}\s.*|[^\n]+\n[=\-~^*+\"']{3,}")
_FENCE = re.compile(r"(?:```|~~~)[^\n]*\n?[^\n]*\n?(?:```|~~~)?")
_SEAMS = ("\n\n", "\n", ". ", " ")


class Splitter:
    """Chunks of at most `size` characters, of which up to `overlap` are those at the end of the one before.

    A heading, a code fence of one line and a chunk of a few characters are kept with what follows.
    Raises UsageError (chunk_size_invalid) if no embedder could take such chunks.
    """

    def __init__(self, size: int, overlap: int) -> None:
        if not (0 <= overlap < size <= LARGEST_CHUNK):
            what = f"chunks of {size} characters with an overlap of {overlap} cannot be made"
            hint = f"chunkSize goes up to {LARGEST_CHUNK}, chunkOverlap stays below it"
            raise UsageError("chunk_size_invalid", what, hint)
        self._size = size
        self._short = min(_SHORT, size // 4)
        self._window = max(_WINDOW, 4 * size)
        self._plain = TextSplitter(size, overlap=overlap)
        self._markdown = MarkdownSplitter(size, overlap=overlap)

    def chunks(self, path: str, blocks: Iterable[str]) -> Iterator[str]:
        """Chunks of a document, in order and never blank; holds a window of the text, however long that is."""
        return self._join(self._pieces(path, blocks))

    def _join(self, pieces: Iterator[str]) -> Iterator[str]:
        """Put each piece that means nothing by itself before the next one, the last of a document behind the others."""
        held, stub = "", ""
        for piece in pieces:
            if stub and piece.startswith(stub.strip()):  # the overlap has brought it already
                stub = ""
            *before, piece = _halve(f"{stub}\n\n{piece}", self._size) if stub else (piece,)
            piece, stub = self._part(piece)
            if before or piece:
                yield from (whole for whole in (held, *before) if whole)
                held = piece
        if held and stub and len(held) + len(stub) + 2 <= self._size:
            held, stub = f"{held}\n\n{stub}", ""
        yield from (last for last in (held, stub) if last)

    def _part(self, piece: str) -> tuple[str, str]:
        """Return the piece and what at its end belongs to the next one; one of them may be empty."""
        if self._is_stub(piece):
            return "", piece
        body, _, end = piece.rstrip().rpartition("\n\n")
        is_opening = _HEADING.fullmatch(end.strip()) or _FENCE.fullmatch(end.strip())
        return (body.rstrip(), end.strip()) if body.strip() and is_opening and self._is_stub(end) else (piece, "")

    def _is_stub(self, piece: str) -> bool:
        text = piece.strip()
        if len(text) > self._size // 2:
            return False
        blocks = (block.strip() for block in re.split(r"\n{2,}", text))
        is_opening = all(_HEADING.fullmatch(block) or _FENCE.fullmatch(block) for block in blocks)
        return is_opening or len(text) < self._short

    def _pieces(self, path: str, blocks: Iterable[str]) -> Iterator[str]:
        splitter = self._markdown if path.casefold().endswith(_MARKDOWN) else self._plain
        text = ""
        for block in blocks:
            text = _BLANK_LINES.sub(_FEWER, text + block)
            while len(text) > self._window:
                pieces = splitter.chunk_indices(text[: self._window])
                # The last one may continue behind the window: it is the first of the next, unless it is all there was.
                end = pieces[-1][0] if pieces else 0
                yield from (piece for _, piece in (pieces[:-1] if end else pieces))
                text = text[end or self._window :]
        yield from splitter.chunks(text)


def _halve(text: str, size: int) -> tuple[str, ...]:
    """Return the text whole if it is no longer than `size`, else in two parts of about the same length."""
    if len(text) <= size:
        return (text,)
    middle, reach = len(text) // 2, len(text) // 5
    for seam in _SEAMS:
        after, before = text.find(seam, middle, middle + reach), text.rfind(seam, middle - reach, middle)
        found = [place for place in (before, after) if place >= 0]
        if found:
            cut = min(found, key=lambda place: abs(place - middle)) + len(seam)
            return text[:cut].rstrip(), text[cut:].lstrip()
    return text[:middle], text[middle:]
