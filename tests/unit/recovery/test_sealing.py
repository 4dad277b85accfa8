"""Parts on their way in and out: what comes out is what went in, or nothing does."""

from __future__ import annotations

import hashlib
import io
import random
import tracemalloc
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyrage
import pytest
import zstandard

from ragops.errors import ExitCode, IntegrityError, MissingError, RagopsError, UsageError
from ragops.recovery import codec
from ragops.recovery.codec import EncodedPart, decode, encode, file_suffix
from ragops.recovery.manifest import ManifestPart, StoredFile
from ragops.recovery.streams import BLOCK

if TYPE_CHECKING:
    from pathlib import Path

AGE_CHUNK = 64 << 10
SIZES = (0, 1, AGE_CHUNK - 1, AGE_CHUNK, AGE_CHUNK + 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK)


class Key:
    """Recipients to encrypt to and identities to open with; none of both where it is plain."""

    def __init__(self, *, encrypted: bool) -> None:
        identity = pyrage.x25519.Identity.generate()
        self.recipients = (str(identity.to_public()),) if encrypted else ()
        self.identities: tuple[object, ...] = (identity,) if encrypted else ()


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def key(request: pytest.FixtureRequest) -> Key:
    return Key(encrypted=request.param)


def noise(size: int) -> bytes:
    """What cannot be compressed."""
    return random.Random(size).randbytes(size)


def sealed_bytes(content: bytes, key: Key) -> tuple[bytes, EncodedPart]:
    target = io.BytesIO()
    result = encode(io.BytesIO(content), target, key.recipients)
    return target.getvalue(), result


def part(sealed: EncodedPart, key: Key, **changed: Any) -> ManifestPart:
    stored = StoredFile(
        file="dump.rdb" + file_suffix(key.recipients), size=sealed.stored_size, sha256=sealed.stored_sha256
    )
    values = {
        "service": "redis", "name": "dump.rdb", "size": sealed.size, "sha256": sealed.sha256, "stored": stored,
        "counts": {}, "instant": datetime.now(tz=UTC), "versions": {}, **changed,
    }  # fmt: skip
    return ManifestPart(**values)


def stated(content: bytes, stored: bytes, key: Key) -> ManifestPart:
    """A part whose checksums are all those of `content` and `stored`."""
    sums = [hashlib.sha256(data).hexdigest() for data in (content, stored)]
    return part(EncodedPart(len(content), sums[0], len(stored), sums[1]), key)


def refused(stored: bytes, wanted: ManifestPart, key: Key) -> IntegrityError:
    with pytest.raises(IntegrityError) as caught:
        decode(io.BytesIO(stored), io.BytesIO(), wanted, key.identities)
    assert caught.value.code == "recovery_point_damaged"
    assert caught.value.exit_code is ExitCode.INTEGRITY
    return caught.value


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [noise, bytes], ids=["noise", "zeros"])
def test_what_comes_out_is_what_went_in(key: Key, size: int, make: Any) -> None:
    content = make(size)
    heard: list[int] = []
    target = io.BytesIO()
    result = encode(io.BytesIO(content), target, key.recipients, heard.append)
    assert sum(heard) == size
    assert result == EncodedPart(
        size, hashlib.sha256(content).hexdigest(), len(target.getvalue()), hashlib.sha256(target.getvalue()).hexdigest()
    )
    back, read = io.BytesIO(), []
    decode(io.BytesIO(target.getvalue()), back, part(result, key), key.identities, read.append)
    assert back.getvalue() == content
    assert sum(read) == result.stored_size


def test_zeros_take_little_room_and_nothing_is_told_by_a_name(key: Key) -> None:
    stored, _ = sealed_bytes(bytes(BLOCK), key)
    assert len(stored) < BLOCK // 100
    assert file_suffix(key.recipients) == (".zst.age" if key.recipients else ".zst")


def test_what_is_encrypted_cannot_be_read_without_the_key() -> None:
    stored, _ = sealed_bytes(b"a secret that is long enough to be found" * 3, Key(encrypted=True))
    assert stored.startswith(b"age-encryption.org/v1")
    assert b"secret" not in stored
    with pytest.raises(zstandard.ZstdError):
        zstandard.ZstdDecompressor().decompress(stored)


def test_every_flipped_byte_is_found(key: Key) -> None:
    """Of a small file each: age's header, its MAC, nonces and tags, zstd's frame, its blocks and checksum."""
    stored, result = sealed_bytes(noise(120) + bytes(120), key)
    wanted = part(result, key)
    for place in range(len(stored)):
        damaged = bytearray(stored)
        damaged[place] ^= 0x01
        error = refused_or_wrong_key(bytes(damaged), wanted, key)
        assert error.code in ("recovery_point_damaged", "identity_wrong"), place


def refused_or_wrong_key(stored: bytes, wanted: ManifestPart, key: Key) -> RagopsError:
    """A header that was changed may look like one for somebody else."""
    with pytest.raises((IntegrityError, UsageError)) as caught:
        decode(io.BytesIO(stored), io.BytesIO(), wanted, key.identities)
    return caught.value


def comes_out_or_nothing(content: bytes, stored: bytes, key: Key) -> bool:
    """Whether it is refused; what is not refused is `content` itself, whatever happened to its wrapping."""
    back = io.BytesIO()
    try:
        decode(io.BytesIO(stored), back, stated(content, stored, key), key.identities)
    except (IntegrityError, UsageError):
        return True
    assert back.getvalue() == content
    return False


def test_every_flipped_byte_is_found_by_what_is_inside_too(key: Key) -> None:
    """Though somebody made the checksum of the stored file agree."""
    content = noise(120) + bytes(120)
    stored, _ = sealed_bytes(content, key)
    harmless = 0
    for place in range(len(stored)):
        damaged = bytearray(stored)
        damaged[place] ^= 0x01
        harmless += not comes_out_or_nothing(content, bytes(damaged), key)
    assert harmless <= (0 if key.identities else 6), "flags, and the checksum that they say is there"


@pytest.mark.parametrize("region", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_flipped_byte_of_a_big_one_is_told_as_what_it_is(key: Key, region: float) -> None:
    stored, result = sealed_bytes(noise(3 * BLOCK), key)
    damaged = bytearray(stored)
    damaged[300 + int(region * (len(stored) - 301))] ^= 0x80
    error = refused(bytes(damaged), part(result, key), key)
    assert "redis/dump.rdb.zst" in error.message
    assert "has changed" in error.message


def test_one_that_was_cut_or_goes_on_is_found(key: Key) -> None:
    stored, result = sealed_bytes(noise(500), key)
    wanted = part(result, key)
    for length in range(len(stored)):
        refused_or_wrong_key(stored[:length], wanted, key)
    error = refused(stored + b"x", wanted, key)
    assert f"has {len(stored) + 1} bytes, {len(stored)} were written" in error.message
    refused(stored + stored, wanted, key)


def test_one_that_was_cut_is_found_by_what_is_inside_too(key: Key) -> None:
    content = noise(500)
    stored, _ = sealed_bytes(content, key)
    cuts = [length for length in range(len(stored)) if not comes_out_or_nothing(content, stored[:length], key)]
    assert cuts == ([] if key.identities else [len(stored) - missing for missing in (4, 3, 2, 1)]), "zstd's checksum"


def test_swapped_parts_are_found(key: Key) -> None:
    one, one_sealed = sealed_bytes(b"one" * 100, key)
    other, other_sealed = sealed_bytes(b"two" * 100, key)
    refused(other, part(one_sealed, key), key)
    # The stored file agrees, its content is another's.
    mixed = part(other_sealed, key, size=one_sealed.size, sha256=one_sealed.sha256)
    assert "is not the file that was written" in refused(other, mixed, key).message
    del one


def test_the_wrong_identity_is_said() -> None:
    key, other = Key(encrypted=True), Key(encrypted=True)
    stored, result = sealed_bytes(b"content", key)
    with pytest.raises(UsageError) as caught:
        decode(io.BytesIO(stored), io.BytesIO(), part(result, key), other.identities)
    assert caught.value.code == "identity_wrong"
    assert "--identity FILE" in caught.value.hint
    decode(io.BytesIO(stored), io.BytesIO(), part(result, key), (*other.identities, *key.identities))


def test_any_of_several_recipients_opens_it() -> None:
    keys = [Key(encrypted=True) for _ in range(3)]
    target = io.BytesIO()
    result = encode(io.BytesIO(b"content"), target, [recipient for key in keys for recipient in key.recipients])
    for key in keys:
        back = io.BytesIO()
        decode(io.BytesIO(target.getvalue()), back, part(result, key), key.identities)
        assert back.getvalue() == b"content"


class Nowhere:
    """A target that only counts."""

    size = 0

    def write(self, data: bytes) -> int:
        self.size += len(data)
        return len(data)


def bomb(key: Key, size: int) -> bytes:
    target = io.BytesIO()

    class Zeros(io.RawIOBase):
        left = size

        def read(self, count: int = -1) -> bytes:
            taken = min(count, self.left)
            self.left -= taken
            return bytes(taken)

    encode(Zeros(), target, key.recipients)  # type: ignore[arg-type]
    return target.getvalue()


def test_a_bomb_stays_small_in_memory_and_on_the_disk(key: Key) -> None:
    """A gigabyte in some kilobytes, whose manifest says that it is small."""
    stored = bomb(key, 1 << 30)
    assert len(stored) < 1 << 20
    wanted, target = stated(b"x" * 1000, stored, key), Nowhere()
    tracemalloc.start()
    try:
        with pytest.raises(IntegrityError, match="longer than its manifest states"):
            decode(io.BytesIO(stored), target, wanted, key.identities)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    assert target.size <= 1000


def test_a_window_that_would_take_all_memory_is_refused() -> None:
    key = Key(encrypted=False)
    parameters = zstandard.ZstdCompressionParameters(window_log=30, compression_level=1)
    whole = zstandard.ZstdCompressor(compression_params=parameters).compressobj()  # its size is not in the header
    stored = whole.compress(noise(1 << 20) + bytes(1 << 20)) + whole.flush()
    error = refused(stored, stated(noise(1 << 20) + bytes(1 << 20), stored, key), key)
    assert "cannot decompress" in error.message


def test_big_ones_take_little_memory(key: Key) -> None:
    class Noise(io.RawIOBase):
        left = 64 << 20
        block = noise(BLOCK)

        def read(self, count: int = -1) -> bytes:
            taken = min(count, self.left)
            self.left -= taken
            return self.block[:taken]

    tracemalloc.start()
    try:
        result = encode(Noise(), Nowhere(), key.recipients)  # type: ignore[arg-type]
        assert result.size == 64 << 20
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


class Full:
    """A target that has no room left after some bytes."""

    def __init__(self, room: int, failure: BaseException) -> None:
        self.room, self.failure = room, failure

    def write(self, data: bytes) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise self.failure
        return len(data)


@pytest.mark.parametrize("room", [0, 100, BLOCK])
@pytest.mark.parametrize(
    "failure", [MissingError("disk_full", "no space left"), OSError(28, "No space left on device"), KeyboardInterrupt()]
)
def test_a_target_that_is_full_fails_as_itself(key: Key, room: int, failure: BaseException) -> None:
    content = noise(3 * BLOCK)
    with pytest.raises(type(failure)) as caught:
        encode(io.BytesIO(content), Full(room, failure), key.recipients)
    assert caught.value is failure
    stored, result = sealed_bytes(content, key)
    with pytest.raises(type(failure)) as caught:
        decode(io.BytesIO(stored), Full(room, failure), part(result, key), key.identities)
    assert caught.value is failure


class Broken(io.RawIOBase):
    """A source that fails after some bytes."""

    def __init__(self, content: bytes, failure: BaseException) -> None:
        self._inner, self._failure = io.BytesIO(content), failure

    def read(self, count: int = -1) -> bytes:
        block = self._inner.read(count)
        if not block:
            raise self._failure
        return block


@pytest.mark.parametrize("size", [0, 100, BLOCK, 2 * BLOCK + 1])
@pytest.mark.parametrize("failure", [MissingError("repository_unreachable", "gone"), OSError(5, "I/O"), SystemExit()])
def test_a_source_that_fails_fails_as_itself(key: Key, size: int, failure: BaseException) -> None:
    content = noise(size)
    with pytest.raises(type(failure)) as caught:
        encode(Broken(content, failure), Nowhere(), key.recipients)  # type: ignore[arg-type]
    assert caught.value is failure
    stored, result = sealed_bytes(content, key)
    cut = Broken(stored[: len(stored) // 2], failure)
    with pytest.raises(type(failure)) as caught:
        decode(cut, Nowhere(), part(result, key), key.identities)  # type: ignore[arg-type]
    assert caught.value is failure


def test_an_interrupt_in_the_middle_ends_it(key: Key) -> None:
    def stop(_size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode(io.BytesIO(noise(2 * BLOCK)), Nowhere(), key.recipients, stop)
    stored, result = sealed_bytes(noise(2 * BLOCK), key)
    with pytest.raises(KeyboardInterrupt):
        decode(io.BytesIO(stored), Nowhere(), part(result, key), key.identities, stop)


# --- identity files -----------------------------------------------------------------------------------------------


def test_an_identity_file_may_hold_comments_and_several_keys(tmp_path: Path) -> None:
    keys = [pyrage.x25519.Identity.generate() for _ in range(2)]
    path = tmp_path / "identity"
    path.write_text(f"# created: today\n\n  {keys[0]}\n# another\n{keys[1]}\n")
    assert [str(found) for found in codec.load_identities(path)] == [str(key) for key in keys]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "identity_missing"),
        (b"\xff\xfe\x00", "identity_missing"),
        (b"", "identity_invalid"),
        (b"# only a comment\n", "identity_invalid"),
        (b"AGE-SECRET-KEY-1NOTAKEY\n", "identity_invalid"),
        (b"age1qqqq\n", "identity_invalid"),
    ],
)
def test_other_files_are_no_identity(tmp_path: Path, content: bytes | None, code: str) -> None:
    path = tmp_path / "identity"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RagopsError) as caught:
        codec.load_identities(path)
    assert caught.value.code == code
    assert "NOTAKEY" not in caught.value.message + caught.value.hint
