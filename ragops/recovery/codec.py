"""Encoding of parts for a repository, and decoding: zstd (RFC 8878), then age (age-encryption.org/v1), streamed.

Both directions take the SHA-256 of what goes in and of what comes out, so that damage is named for what it is: bytes
that changed where they lay, or a file that is not what its engine wrote.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import zstandard

from ragops.errors import IntegrityError, MissingError, RagopsError, UsageError
from ragops.hints import OTHER_POINT
from ragops.recovery.streams import (
    BLOCK,
    CompressingReader,
    DecompressingWriter,
    HashingReader,
    HashingWriter,
    TooLongError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ragops.adapters.streams import ByteReader, ByteWriter
    from ragops.recovery.manifest import ManifestPart


@dataclass(frozen=True)
class EncodedPart:
    """Sizes in bytes and SHA-256 (hexadecimal) of a part before and after encoding."""

    size: int
    sha256: str
    stored_size: int
    stored_sha256: str


def file_suffix(recipients: Sequence[str]) -> str:
    """Return the ending of an encoded file's name."""
    return ".zst.age" if recipients else ".zst"


def encode(
    source: ByteReader,
    target: ByteWriter,
    recipients: Sequence[str],
    on_bytes: Callable[[int], None] = lambda _size: None,
) -> EncodedPart:
    """Compress `source`, encrypt it to `recipients` if there are any, write it to `target`.

    `on_bytes` hears how many bytes of the source are done. Raises what reading and writing raise.
    """
    reader, writer = CompressingReader(source, on_bytes), HashingWriter(target)
    buffered: io.BufferedReader[Any] = io.BufferedReader(reader, BLOCK)
    if recipients:
        _encrypt(buffered, writer, recipients, (reader, writer))
    else:
        while block := buffered.read(BLOCK):
            writer.write(block)
    return EncodedPart(reader.size, reader.sha256.hexdigest(), writer.size, writer.sha256.hexdigest())


def decode(
    stored: BinaryIO,
    target: ByteWriter,
    part: ManifestPart,
    identities: Sequence[object],
    on_bytes: Callable[[int], None] = lambda _size: None,
) -> None:
    """Undo `encode` for one part of a recovery point, encrypted if there are `identities`.

    Raises IntegrityError (recovery_point_damaged) if either side is not what is in the manifest, UsageError
    (identity_wrong).
    """
    reader = HashingReader(stored, on_bytes)
    plain = HashingWriter(target, part.size)
    try:
        _open(reader, DecompressingWriter(plain), identities)
        while block := reader.read(BLOCK):  # what a damaged archive left unread
            del block
    except (zstandard.ZstdError, TooLongError) as error:
        reader.drain()
        _compare_stored(part, reader)  # rather the cause than its effect
        raise _damaged(f"cannot decompress {part.path}: {error}") from error
    _compare_stored(part, reader)
    if (plain.size, plain.sha256.hexdigest()) != (part.size, part.sha256):
        raise _damaged(f"{part.path} is not the file that was written: its SHA-256 is another")


def checksum(
    source: BinaryIO, on_bytes: Callable[[int], None] = lambda _size: None, target: ByteWriter | None = None
) -> tuple[int, str]:
    """Return size and SHA-256 of a stream, which is copied to `target` if there is one."""
    size, digest = 0, hashlib.sha256()
    while block := source.read(BLOCK):
        size += len(block)
        digest.update(block)
        if target is not None:
            target.write(block)
        on_bytes(len(block))
    return size, digest.hexdigest()


def _open(reader: HashingReader, writer: DecompressingWriter, identities: Sequence[object]) -> None:
    if not identities:
        while block := reader.read(BLOCK):
            writer.write(block)
        return
    import pyrage

    try:
        pyrage.decrypt_io(io.BufferedReader(reader, BLOCK), writer, identities)
    except Exception as error:  # pyrage wraps what our own objects raise
        _raise_ours((reader, writer), error)
        if "No matching keys" in str(error):
            what = "cannot decrypt the recovery point: it is encrypted to other recipients than this identity"
            raise UsageError("identity_wrong", what, "name the file of the right one: --identity FILE") from error
        reader.drain()
        raise zstandard.ZstdError(f"age: {error}") from error


def _encrypt(
    source: io.BufferedReader[Any], target: HashingWriter, recipients: Sequence[str], ours: Sequence[Any]
) -> None:
    import pyrage

    try:
        pyrage.encrypt_io(source, target, [pyrage.x25519.Recipient.from_str(text) for text in recipients])
    except Exception as error:
        _raise_ours(ours, error)
        raise RagopsError("encryption_failed", f"cannot encrypt: {error}") from error


def _raise_ours(objects: Sequence[Any], error: BaseException) -> None:
    """Raise what one of our own objects failed with, which the library only quotes."""
    for item in objects:
        if item.failure is not None:
            raise item.failure from error


def load_identities(path: Path) -> tuple[object, ...]:
    """Return the age identities of a file as `age-keygen` and `ragops backup keygen` write it, without comments.

    Raises MissingError (identity_missing), UsageError (identity_invalid).
    """
    import pyrage

    hint = "name the file that `ragops backup keygen` wrote: --identity FILE"
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise MissingError("identity_missing", f"cannot read the identity file {path}: {why}", hint) from error
    texts = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    try:
        found = tuple(pyrage.x25519.Identity.from_str(text) for text in texts)
    except pyrage.IdentityError as error:
        raise UsageError(
            "identity_invalid", f"cannot use {path}: it holds something else than age identities", hint
        ) from error
    if not found:
        raise UsageError("identity_invalid", f"cannot use {path}: it holds no age identity", hint)
    return found


def _compare_stored(part: ManifestPart, reader: HashingReader) -> None:
    if reader.size != part.stored.size:
        raise _damaged(f"{part.stored_path} has {reader.size} bytes, {part.stored.size} were written")
    if reader.sha256.hexdigest() != part.stored.sha256:
        raise _damaged(f"{part.stored_path} has changed: its SHA-256 is another")


def _damaged(what: str) -> IntegrityError:
    return IntegrityError("recovery_point_damaged", what, OTHER_POINT)
