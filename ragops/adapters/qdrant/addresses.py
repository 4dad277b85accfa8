"""The address of one Qdrant node."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ragops.errors import MissingError


@dataclass(frozen=True)
class Address:
    """A node's name and its URLs as the caller reaches it; `grpc_url` is empty if it has no gRPC."""

    name: str
    url: str
    grpc_url: str = ""


def path_of(collection: str) -> str:
    """Return the path of a collection."""
    return f"/collections/{quote(collection, safe='')}"


_VARIABLE = "SSL_CERT_FILE"


def verification(url: str) -> ssl.SSLContext | bool:
    """Return what httpx takes as `verify`; reading the system's certificates takes longer than a probe.

    Raises MissingError (certificates_unreadable).
    """
    if not url.startswith("https"):
        return False
    if (certificates := root_certificates()) is None:
        return True
    return ssl.create_default_context(cadata=certificates.decode())


def root_certificates() -> bytes | None:
    """Return the certificates of SSL_CERT_FILE in PEM, None if it is not set.

    Raises MissingError (certificates_unreadable).
    """
    if not (path := os.environ.get(_VARIABLE)):
        return None
    try:
        certificates = Path(path).read_bytes()
        ssl.create_default_context(cadata=certificates.decode().strip() or "none")  # with "" it takes the system's
    except (OSError, ValueError) as error:
        what = f"cannot read the certificates of {_VARIABLE} in {path}: {error}"
        hint = f"set {_VARIABLE} to a file of certificates in PEM, or unset it"
        raise MissingError("certificates_unreadable", what, hint) from error
    return certificates
