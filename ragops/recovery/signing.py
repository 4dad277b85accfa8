"""Ed25519 keys that sign manifests: one private key for each project, public keys as `ed25519:BASE64` (RFC 8032)."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ragops.adapters.files import SECRET_MODE, explain_os_error, write_atomic
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from pathlib import Path

_PREFIX = "ed25519:"


@dataclass(frozen=True)
class SigningKey:
    """A private key; `public` is what others pin."""

    private: Ed25519PrivateKey

    @property
    def public(self) -> str:
        """The verification key, `ed25519:BASE64`."""
        return _text(self.private.public_key())


@dataclass(frozen=True)
class Signature:
    """A signature and the verification key that it belongs to."""

    key: str
    value: bytes

    def is_valid(self, content: bytes) -> bool:
        """Return whether `key` signed exactly `content`."""
        try:
            public = Ed25519PublicKey.from_public_bytes(_decoded(self.key.removeprefix(_PREFIX)))
            public.verify(self.value, content)
        except (InvalidSignature, ValueError):
            return False
        return True

    def to_dict(self) -> dict[str, str]:
        """Return it as JSON values."""
        return {"key": self.key, "signature": base64.b64encode(self.value).decode()}


def parse_signature(values: Any) -> Signature:
    """From `to_dict`'s values. Raises ValueError, KeyError, TypeError."""
    key = values["key"]
    if not isinstance(key, str) or not key.startswith(_PREFIX) or set(values) != {"key", "signature"}:
        raise ValueError("no signature")
    return Signature(key, _decoded(values["signature"]))


def sign(key: SigningKey, content: bytes) -> Signature:
    """Return the signature of `content`."""
    return Signature(key.public, key.private.sign(content))


def load_or_create(path: Path) -> SigningKey:
    """Return the private key in `path` (PEM, 0600), created if there is none.

    Raises RagopsError (signing_key_unreadable, not_permitted), MissingError (disk_full).
    """
    if (found := load(path)) is not None:
        return found
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_atomic(path, pem, SECRET_MODE)
    return SigningKey(key)


def load(path: Path) -> SigningKey | None:
    """Return the private key in `path`, None if there is none. Raises RagopsError (signing_key_unreadable)."""
    hint = "put it back from your copy; without one, move it away and pin the new key that is made"
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    except (ValueError, TypeError) as error:
        raise RagopsError("signing_key_unreadable", f"cannot use {path}: it holds no private key", hint) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise RagopsError("signing_key_unreadable", f"cannot use {path}: it holds another kind of key", hint)
    return SigningKey(key)


def _decoded(text: str) -> bytes:
    """From base64 in its one canonical form (RFC 4648, 3.5): else several texts would be the same signature."""
    found = base64.b64decode(text, validate=True)
    if base64.b64encode(found).decode() != text:
        raise ValueError("not canonical")
    return found


def _text(key: Ed25519PublicKey) -> str:
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return _PREFIX + base64.b64encode(raw).decode()
