"""Reading one file as text, in blocks, with the hash of its bytes."""

from __future__ import annotations

import codecs
import os
import stat
from contextlib import contextmanager
from hashlib import sha256
from typing import IO, TYPE_CHECKING

from ragops.ingest.documents import kinds, pool
from ragops.ingest.documents.converted import UnreadableError
from ragops.ingest.documents.decode import marked_encoding
from ragops.ingest.walk import modified_at
from ragops.units import size as shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

# Held in memory as a whole: what is converted, and text that is not UTF-8. `maxFileSize` of a collection is below.
LARGEST_CONVERTED = 1 << 30
_BLOCK = 1 << 16
_FRONT_MATTER = (b"---\n", b"---\r\n", b"+++\n", b"+++\r\n", b"--- \n")


class UnusableDocumentError(Exception):
    """A document that cannot become chunks; the text states why, for its row and the report.

    `is_lasting`: the same bytes will never do better with this version of ragops. `is_gone`: there is no file any more.
    """

    def __init__(self, reason: str, *, is_lasting: bool = False, is_gone: bool = False) -> None:
        super().__init__(reason)
        self.is_lasting = is_lasting
        self.is_gone = is_gone


class TextFile:
    """One pass over the file at `path`; after it `sha256`, `size` (bytes) and `modified` are those of what was read.

    Iterating gives its text, converted if it is a document of another kind; `metadata` (title, author)
    is there from the first block on. Raises UnusableDocumentError if it cannot be read, is binary or not its kind.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sum = sha256()
        self._kind = kinds.kind_of(path.name)
        self.size = 0
        self.modified: datetime | None = None
        self.metadata: Mapping[str, str] = {}

    @property
    def sha256(self) -> str:
        """Of the bytes that were read so far, hexadecimal."""
        return self._sum.hexdigest()

    @property
    def is_markdown(self) -> bool:
        """Whether the text is Markdown, with headings as `# Title`; else it is plain."""
        return self._kind.is_markdown

    def __iter__(self) -> Iterator[str]:
        with self._open() as stream:
            converter = self._kind.converter or self._converter(stream)
            if converter:
                text = self._convert(converter, self._read(stream))
                yield from (text[start : start + _BLOCK] for start in range(0, len(text), _BLOCK))
            else:
                yield from self._decode(stream, _encoding(stream))

    def check(self) -> None:
        """Read all of it for hash, size and time, and convert nothing. Raises UnusableDocumentError."""
        with self._open() as stream:
            if self._kind.converter or self._converter(stream):
                self._refuse(self._read(stream))
                return
            for _ in self._decode(stream, _encoding(stream)):
                pass

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        try:
            # Do not wait for a writer if the file has become a pipe in between.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb", buffering=0) as stream:
                status = os.fstat(stream.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise UnusableDocumentError("not a regular file")
                # As it was before the first byte: a later change shows in the next run.
                self.modified = modified_at(status)
                yield stream
        except OSError as error:
            is_gone = isinstance(error, FileNotFoundError | NotADirectoryError)
            raise UnusableDocumentError(f"cannot be read: {error.strerror}", is_gone=is_gone) from error

    def _converter(self, stream: IO[bytes]) -> str:
        """Return the converter that a file of text needs: for front matter, and for encodings from before UTF-8."""
        head = stream.read(_BLOCK)
        stream.seek(0)
        encoding = marked_encoding(head)
        if self._kind.is_markdown and head.removeprefix(codecs.BOM_UTF8).startswith(_FRONT_MATTER):
            return "markdown"
        if reason := "" if encoding else kinds.mismatch(self._kind, head):
            raise UnusableDocumentError(reason, is_lasting=True)
        place, is_utf8 = _examine(stream)
        if not encoding and place is not None:
            raise UnusableDocumentError(f"binary: a NUL byte at {place}", is_lasting=True)
        return "" if encoding or is_utf8 else "plain"

    def _read(self, stream: IO[bytes]) -> bytes:
        parts = []
        for block in self._blocks(stream):
            parts.append(block)
            if self.size > LARGEST_CONVERTED:
                raise UnusableDocumentError(f"larger than {shown(LARGEST_CONVERTED)}")
        return b"".join(parts)

    def _blocks(self, stream: IO[bytes]) -> Iterator[bytes]:
        while block := stream.read(_BLOCK):
            self._sum.update(block)
            self.size += len(block)
            yield block

    def _decode(self, stream: IO[bytes], encoding: str) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            for block in self._blocks(stream):
                yield decoder.decode(block)
            yield decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            place = self.size - len(error.object) + error.start
            byte = error.object[error.start]
            raise UnusableDocumentError(f"not {encoding.upper()}: byte 0x{byte:02x} at {place}") from error

    def _convert(self, converter: str, data: bytes) -> str:
        self._refuse(data)
        try:
            found = pool.convert(converter, self._path.name, data)
        except UnreadableError as error:
            raise UnusableDocumentError(str(error), is_lasting=error.is_lasting) from error
        self.metadata = found.metadata
        return found.text

    def _refuse(self, data: bytes) -> None:
        """Raise UnusableDocumentError if the first bytes are of another kind, or the library is not installed."""
        if reason := kinds.mismatch(self._kind, data[: kinds.HEAD], data[-kinds.HEAD :]):
            raise UnusableDocumentError(reason, is_lasting=True)
        if reason := kinds.missing_extra(self._kind):
            raise UnusableDocumentError(reason)


def inspect(path: Path) -> TextFile:
    """Read all of it and keep nothing but hash, size and time. Raises UnusableDocumentError."""
    file = TextFile(path)
    file.check()
    return file


def _encoding(stream: IO[bytes]) -> str:
    head = stream.read(len(codecs.BOM_UTF32_LE))
    stream.seek(0)
    return marked_encoding(head) or "utf-8"


def _examine(stream: IO[bytes]) -> tuple[int | None, bool]:
    """Return the place of the first NUL byte, None without one, and whether all before it is UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    place, is_utf8 = 0, True
    try:
        while block := stream.read(_BLOCK):
            if b"\0" in block:
                return place + block.index(0), is_utf8
            place += len(block)
            if is_utf8:
                is_utf8 = _decodes(decoder, block)
        return None, is_utf8 and _decodes(decoder, b"", final=True)
    finally:
        stream.seek(0)


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True
