"""Keys that sign manifests."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ragops.errors import RagopsError
from ragops.recovery import signing
from ragops.recovery.signing import Signature, SigningKey, parse_signature, sign

if TYPE_CHECKING:
    from pathlib import Path


def pem(key: object, password: bytes = b"") -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    found: bytes = key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    return found


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return signing.load_or_create(tmp_path / "signing.pem")


def test_a_key_is_made_once_and_only_we_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "signing.pem"
    assert signing.load(path) is None
    made = signing.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert signing.load_or_create(path).public == made.public
    found = signing.load(path)
    assert found is not None
    assert found.public == made.public
    assert made.public.startswith("ed25519:")
    assert len(made.public) == len("ed25519:") + 44


def test_the_signature_holds_for_exactly_what_was_signed(key: SigningKey) -> None:
    signature = sign(key, b"content")
    assert signature.is_valid(b"content")
    for other in (b"", b"Content", b"content ", b"content\n", b"conten"):
        assert not signature.is_valid(other)
    assert parse_signature(signature.to_dict()) == signature


def test_a_flipped_bit_of_the_signature_is_found(key: SigningKey) -> None:
    signature = sign(key, b"content")
    for place in range(len(signature.value)):
        damaged = bytearray(signature.value)
        damaged[place] ^= 1
        assert not Signature(signature.key, bytes(damaged)).is_valid(b"content"), place


def test_another_key_has_not_signed_it(key: SigningKey) -> None:
    other = SigningKey(Ed25519PrivateKey.generate())
    assert not Signature(other.public, sign(key, b"content").value).is_valid(b"content")


@pytest.mark.parametrize("text", ["ed25519:", "ed25519:AAAA", "ed25519:ä", "ed25519:" + "A" * 43, "ed25519:****"])
def test_what_is_no_key_holds_for_nothing(key: SigningKey, text: str) -> None:
    assert not Signature(text, sign(key, b"content").value).is_valid(b"content")


@pytest.mark.parametrize(
    "values",
    [
        {},
        [],
        None,
        "text",
        {"key": "ed25519:x"},
        {"signature": "AAAA"},
        {"key": 1, "signature": "AAAA"},
        {"key": "rsa:x", "signature": "AAAA"},
        {"key": "ed25519:x", "signature": "A"},
        {"key": "ed25519:x", "signature": "\u00e4"},
        {"key": "ed25519:x", "signature": None},
        {"key": "ed25519:x", "signature": "AAAA", "more": 1},
    ],
)
def test_other_values_are_no_signature(values: object) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        parse_signature(values)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no private key"),
        (b"\xff\x00", "holds no private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no private key"),
        (pem(Ed25519PrivateKey.generate(), b"password"), "holds no private key"),
        (pem(Ed25519PrivateKey.generate())[:-40], "holds no private key"),
        (pem(rsa.generate_private_key(65537, 2048)), "another kind of key"),
    ],
    ids=["empty", "binary", "no key inside", "with a password", "cut", "RSA"],
)
def test_a_file_that_holds_no_key_is_never_replaced(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "signing.pem"
    path.write_bytes(content)
    for attempt in (signing.load, signing.load_or_create):
        with pytest.raises(RagopsError) as caught:
            attempt(path)
        assert caught.value.code == "signing_key_unreadable"
        assert said in caught.value.message
        assert caught.value.hint
    assert path.read_bytes() == content


def test_a_folder_in_its_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "signing.pem").mkdir()
    with pytest.raises(RagopsError, match=r"signing\.pem"):
        signing.load_or_create(tmp_path / "signing.pem")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RagopsError) as caught:
        signing.load_or_create(tmp_path / "signing.pem")
    assert caught.value.code == "not_permitted"
