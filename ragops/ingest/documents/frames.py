"""Messages between ingest and a converter: a JSON object and a body of bytes, each with its length before it."""

from __future__ import annotations

import json
import struct
from typing import IO, Any

_LENGTHS = struct.Struct(">IQ")
_LARGEST_HEAD = 1 << 20


def write_frame(stream: IO[bytes], head: dict[str, Any], body: bytes = b"") -> None:
    """Write one message. Raises OSError if the other side is gone."""
    encoded = json.dumps(head).encode()
    stream.write(_LENGTHS.pack(len(encoded), len(body)))
    stream.write(encoded)
    stream.write(body)
    stream.flush()


def read_frame(stream: IO[bytes], largest: int) -> tuple[dict[str, Any], bytes]:
    """Read one message with a body of at most `largest` bytes. Raises EOFError if it ends early or is none."""
    head_size, size = _LENGTHS.unpack(_read(stream, _LENGTHS.size))
    if head_size > _LARGEST_HEAD or size > largest:
        raise EOFError("not a message")
    try:
        head = dict(json.loads(_read(stream, head_size)))
    except (ValueError, TypeError) as error:
        raise EOFError("not a message") from error
    return head, _read(stream, size)


def _read(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("ended early")
    return data
