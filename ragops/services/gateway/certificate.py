"""The gateway's certificate: one of the user's own, else one that is made here for this machine's names.

A file is only ever replaced if ragops made it: a certificate by its name and signature, a key by its certificate or by
the record that is written before it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ragops.adapters.files import PUBLIC_MODE, SECRET_MODE, explain_os_error, write_atomic
from ragops.errors import RagopsError
from ragops.services.gateway.policy import TlsPair

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

VALID = timedelta(days=397)  # the most that browsers take
RENEW_BEFORE = timedelta(days=30)
FILES = ("tls.crt", "tls.key")
NAMES = ("localhost",)
ADDRESSES = ("127.0.0.1", "::1")
DUE = "a new one, because it ends soon"
NEW = "a new one"

_RECORD = "tls.generated"  # the digest of the last key that was made here
_NAME = "ragops gateway"


@dataclass(frozen=True)
class CertificateFiles:
    """Paths of the certificate and its key, when it ends, and the start of its SHA-256.

    `unwritten` is the text of both if the files are not there yet.
    """

    certificate: Path
    key: Path
    expires: datetime
    fingerprint: str
    unwritten: TlsPair | None = field(default=None, repr=False)

    def pair(self) -> TlsPair:
        """Return the text of both. Raises RagopsError (not_permitted, file_error)."""
        return self.unwritten or TlsPair(_read(self.certificate).decode(), _read(self.key).decode())


def ensure(folder: Path, now: datetime, *, write: bool = True) -> CertificateFiles:
    """Return the certificate in `folder`; make one if there is none, or if ours lacks its key or ends within 30 days.

    Nothing is written if `write` is false: the fingerprint of one that would be made is NEW, that of one of ours that
    would be renewed is DUE. One of the user's own is used as it is, whenever it ends. Raises RagopsError:
    certificate_invalid if files of the user's own are no pair, disk_full, not_permitted, file_error.
    """
    certificate, key = (folder / name for name in FILES)
    found, private = _certificate(certificate), _key(key)
    whole = found is not None and private is not None and found.public_key() == private.public_key()
    if (found is None or is_generated(found)) and _is_own_key(folder, found, private):
        due = found is not None and found.not_valid_after_utc - now < RENEW_BEFORE
        if found is not None and whole and due and not write:
            return CertificateFiles(certificate, key, found.not_valid_after_utc, DUE)
        if not whole and not write:
            return CertificateFiles(
                certificate, key, now + VALID, NEW, TlsPair(*(text.decode() for text in _generate(now)))
            )
        if found is None or not whole or due:
            found = _make(folder, now)
    elif found is None or not whole:
        raise _not_a_pair(folder, found, private)
    return CertificateFiles(certificate, key, found.not_valid_after_utc, _fingerprint(certificate))


def find_end(folder: Path) -> datetime | None:
    """Return when the certificate in `folder` ends, None without one that can be read."""
    try:
        found = _certificate(folder / FILES[0])
    except RagopsError:
        return None
    return found.not_valid_after_utc if found else None


def require_pair(folder: Path) -> None:
    """Raise RagopsError (certificate_invalid, not_permitted, file_error) unless both files are there and match.

    A gateway that runs keeps what it has read; the next start would find nothing to serve.
    """
    found, private = _certificate(folder / FILES[0]), _key(folder / FILES[1])
    if found is None or private is None or found.public_key() != private.public_key():
        raise _not_a_pair(folder, found, private)


def is_generated(found: x509.Certificate) -> bool:
    """Whether ragops made this certificate."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    if found.subject != name or found.issuer != name:
        return False
    try:
        found.verify_directly_issued_by(found)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def load(path: Path) -> x509.Certificate:
    """Return the first certificate of a file: the server's own. Raises OSError, ValueError."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def trust_only(path: Path) -> ssl.SSLContext:
    """Return a TLS context for a client that takes the server's certificate in `path` and no other, whatever it is for.

    Raises OSError, ValueError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # one of the user's own is for the public name, and we ask on loopback
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a certificate that is no authority is trusted itself
    context.load_verify_locations(cadata=load(path).public_bytes(serialization.Encoding.PEM).decode())
    return context


def trust_any() -> ssl.SSLContext:
    """Return a TLS context for a client that sends nothing secret and compares what the server shows afterwards."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def read_served(answer: httpx.Response) -> bytes:
    """Return the certificate (DER) of the server that answered; empty without TLS."""
    connection = answer.extensions["network_stream"].get_extra_info("ssl_object")
    return bytes(connection.getpeercert(True) or b"") if connection else b""


def _read(path: Path) -> bytes:
    """Return the content; empty if there is no file."""
    try:
        return path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error


def _certificate(path: Path) -> x509.Certificate | None:
    content = _read(path)
    try:
        return x509.load_pem_x509_certificate(content) if content else None
    except ValueError as error:
        raise _invalid(path, "it is not a certificate in PEM format") from error


def _key(path: Path) -> PrivateKeyTypes | None:
    content = _read(path)
    try:
        return serialization.load_pem_private_key(content, password=None) if content else None
    except TypeError as error:
        raise _invalid(path, "it is protected by a password, which a gateway cannot enter") from error
    except ValueError as error:
        raise _invalid(path, "it is not a private key in PEM format") from error


def _is_own_key(folder: Path, found: x509.Certificate | None, private: PrivateKeyTypes | None) -> bool:
    if private is None or (found is not None and found.public_key() == private.public_key()):
        return True
    return _read(folder / _RECORD).decode().strip() == _digest(private.public_key())


def _not_a_pair(folder: Path, found: x509.Certificate | None, private: PrivateKeyTypes | None) -> RagopsError:
    certificate, key = (folder / name for name in FILES)
    if found is None:
        return _invalid(key, f"its certificate {certificate} is missing")
    if private is None:
        return _invalid(certificate, f"its key {key} is missing")
    return _invalid(certificate, f"{key} is the key of another certificate")


def _invalid(path: Path, reason: str) -> RagopsError:
    names = " and ".join(FILES)
    hint = (
        f"put a certificate and its key into {path.parent} as {names}, or remove both files for a generated pair; "
        "then run `ragops gateway apply`"
    )
    return RagopsError("certificate_invalid", f"cannot use {path}: {reason}", hint)


def _make(folder: Path, now: datetime) -> x509.Certificate:
    """Make a new pair. The record and the key come first: the next run repeats one that is killed in between."""
    content, key = _generate(now)
    made = x509.load_pem_x509_certificate(content)
    write_atomic(folder / _RECORD, _digest(made.public_key()), PUBLIC_MODE)
    write_atomic(folder / FILES[1], key, SECRET_MODE)
    write_atomic(folder / FILES[0], content, PUBLIC_MODE)
    return made


def _digest(public: PublicKeyTypes) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(public.public_bytes(serialization.Encoding.DER, form)).hexdigest()


def _fingerprint(certificate: Path) -> str:
    return hashlib.sha256(_read(certificate)).hexdigest()[:12]


def _generate(now: datetime) -> tuple[bytes, bytes]:
    """Return a new certificate that signs itself, and its key, both PEM."""
    private = ec.generate_private_key(ec.SECP256R1())
    plain = serialization.NoEncryption()
    key = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return _self_sign(private, now), key


def _self_sign(private: ec.EllipticCurvePrivateKey, now: datetime) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    names: list[x509.GeneralName] = [x509.DNSName(value) for value in NAMES]
    names += [x509.IPAddress(ipaddress.ip_address(value)) for value in ADDRESSES]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - timedelta(minutes=5))
        .not_valid_after((now + VALID).astimezone(UTC))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
    )
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
