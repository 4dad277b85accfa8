"""Identities that open encrypted recovery points."""

from __future__ import annotations

import io
import resource
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyrage
import pytest

from ragops.errors import RagopsError, UsageError
from ragops.operations.backup.keygen import keygen, verify_keys_in
from ragops.recovery.codec import load_identities

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERIFY_KEY = "ed25519:" + "A" * 43 + "="


def test_what_is_encrypted_to_the_recipient_is_opened_by_the_file(tmp_path: Path) -> None:
    made = keygen(tmp_path / "identity", VERIFY_KEY)
    assert made.file == str(tmp_path / "identity")
    target = io.BytesIO()
    pyrage.encrypt_io(io.BytesIO(b"content"), target, [pyrage.x25519.Recipient.from_str(made.recipient)])
    assert pyrage.decrypt(target.getvalue(), list(load_identities(tmp_path / "identity"))) == b"content"


def test_only_we_can_read_it_and_it_says_what_it_is(tmp_path: Path) -> None:
    made = keygen(tmp_path / "identity", VERIFY_KEY)
    assert stat.S_IMODE((tmp_path / "identity").stat().st_mode) == 0o600
    lines = (tmp_path / "identity").read_text().splitlines()
    assert lines[1:3] == [f"# public key: {made.recipient}", f"# verify key: {VERIFY_KEY}"]
    assert lines[3].startswith("AGE-SECRET-KEY-1")
    assert len(lines) == 4
    assert lines[3] not in repr(made)


def test_no_two_are_alike(tmp_path: Path) -> None:
    assert len({keygen(tmp_path / str(number), "").recipient for number in range(10)}) == 10


def test_whom_to_trust_goes_with_it(tmp_path: Path) -> None:
    keygen(tmp_path / "one", VERIFY_KEY)
    keygen(tmp_path / "none", "")
    assert verify_keys_in(tmp_path / "one") == (VERIFY_KEY,)
    assert verify_keys_in(tmp_path / "none") == ()
    assert verify_keys_in(tmp_path / "nosuch") == ()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert verify_keys_in(tmp_path / "binary") == ()
    assert verify_keys_in(tmp_path) == ()


def test_one_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    keygen(tmp_path / "identity", "")
    before = (tmp_path / "identity").read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "nosuch")
    for name in ("identity", "link", "."):
        with pytest.raises(UsageError) as caught:
            keygen(tmp_path / name, "")
        assert caught.value.code == "file_exists"
    assert (tmp_path / "identity").read_bytes() == before
    assert not (tmp_path / "nosuch").exists()


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RagopsError, match="nosuch"):
        keygen(tmp_path / "nosuch" / "identity", "")


@contextmanager
def no_room() -> Iterator[None]:
    """No file may grow to more than ten bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_half_a_key_is_not_left_in_the_way(tmp_path: Path) -> None:
    with no_room(), pytest.raises(RagopsError):
        keygen(tmp_path / "identity", "")
    assert list(tmp_path.iterdir()) == []
    keygen(tmp_path / "identity", "")
