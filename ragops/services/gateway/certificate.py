"""The gateway's own certificate: made here, for this machine's names, so that HTTPS works before anybody buys one."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ragops.adapters.files import PUBLIC_MODE, SECRET_MODE, explain_os_error, write_atomic
from ragops.services.gateway.rendering import Pair

if TYPE_CHECKING:
    from pathlib import Path

VALID = timedelta(days=397)  # the most that browsers take
RENEW_BEFORE = timedelta(days=30)
FILES = ("tls.crt", "tls.key")
NAMES = ("localhost",)
ADDRESSES = ("127.0.0.1", "::1")
DUE = "a new one, for it ends soon"


@dataclass(frozen=True)
class CertificateFiles:
    """Where the certificate and its key lie, when it ends, and the start of its SHA-256."""

    certificate: Path
    key: Path
    expires: datetime
    fingerprint: str

    def pair(self) -> Pair:
        """The text of both. Raises RagopsError (not_permitted, file_error)."""
        try:
            return Pair(self.certificate.read_text(), self.key.read_text())
        except OSError as error:
            raise explain_os_error(error, f"read {self.key}") from error


def ensure(folder: Path, now: datetime, *, renew: bool = True) -> CertificateFiles:
    """The certificate in `folder`; made anew where it is missing, broken, without its key, or 30 days from its end.

    One that only nears its end stays where `renew` is false; its fingerprint then is DUE. Gateways read the files again
    when their configuration is applied. Raises RagopsError (disk_full, not_permitted, file_error).
    """
    certificate, key = (folder / name for name in FILES)
    expires = _expires(certificate, key)
    due = expires is not None and expires - now < RENEW_BEFORE
    if expires is not None and due and not renew:
        return CertificateFiles(certificate, key, expires, DUE)
    if expires is None or due:
        expires = now + VALID
        # The key first: a run that is killed in between leaves a pair that does not match, and is then made again.
        private = ec.generate_private_key(ec.SECP256R1())
        write_atomic(key, _key_text(private), SECRET_MODE)
        write_atomic(certificate, _self_signed(private, now, expires), PUBLIC_MODE)
    return CertificateFiles(certificate, key, expires, _fingerprint(certificate))


def _fingerprint(certificate: Path) -> str:
    try:
        return hashlib.sha256(certificate.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise explain_os_error(error, f"read {certificate}") from error


def _expires(certificate: Path, key: Path) -> datetime | None:
    """When the pair ends; None where it is no pair."""
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        return None
    return found.not_valid_after_utc if found.public_key() == private.public_key() else None


def _key_text(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _self_signed(private: ec.EllipticCurvePrivateKey, now: datetime, expires: datetime) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ragops gateway")])
    names: list[x509.GeneralName] = [x509.DNSName(value) for value in NAMES]
    names += [x509.IPAddress(ipaddress.ip_address(value)) for value in ADDRESSES]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - timedelta(minutes=5))
        .not_valid_after(expires.astimezone(UTC))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
    )
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
