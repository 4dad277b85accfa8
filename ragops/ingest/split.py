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
VERSION = 1
LARGEST_CHUNK = 100_000
_MARKDOWN = (".md", ".markdown", ".mdx")
# Characters given to the splitter at once: its time grows faster than the text if that is one long line.
_WINDOW = 1 << 14
# Its time also grows with the square of a run of line ends: a file of nothing else would take hours.
_END = r"\n\r\x85\u2028\u2029"
_BLANK_LINES = re.compile(rf"[{_END}](?:[^\S{_END}]*[{_END}]){{8,}}")
_FEWER = "\n" * 8


class Splitter:
    """Chunks of at most `size` characters, of which up to `overlap` are those at the end of the one before.

    Raises UsageError (chunk_size_invalid) if no embedder could take such chunks.
    """

    def __init__(self, size: int, overlap: int) -> None:
        if not (0 <= overlap < size <= LARGEST_CHUNK):
            what = f"chunks of {size} characters with an overlap of {overlap} cannot be made"
            hint = f"chunkSize goes up to {LARGEST_CHUNK}, chunkOverlap stays below it"
            raise UsageError("chunk_size_invalid", what, hint)
        self._window = max(_WINDOW, 4 * size)
        self._plain = TextSplitter(size, overlap=overlap)
        self._markdown = MarkdownSplitter(size, overlap=overlap)

    def chunks(self, path: str, blocks: Iterable[str]) -> Iterator[str]:
        """Chunks of a document, in order and never blank; holds a window of the text, however long that is."""
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
