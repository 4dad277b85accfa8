"""Qdrant over TLS with a certificate of a private authority, over REST and gRPC, on a real server."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ragops.adapters.qdrant.addresses import Address
from ragops.adapters.qdrant.async_client import AsyncClient
from ragops.adapters.qdrant.client import Client, VectorParams
from ragops.adapters.qdrant.failures import RequestFailedError
from ragops.adapters.qdrant.http import open_http
from ragops.adapters.qdrant.node_client import open_node
from ragops.errors import MissingError, UnhealthyError
from tests.qdrant_processes import KEY, Cluster, binary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


def certificate(name: str, key: EllipticCurvePrivateKey, issuer: str, signer: EllipticCurvePrivateKey) -> bytes:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    now, address = datetime.now(tz=UTC), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
    )
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class TlsServer(Cluster):
    def url(self, number: int = 1) -> str:
        return super().url(number).replace("http:", "https:")

    def grpc_url(self, number: int = 1) -> str:
        return super().grpc_url(number).replace("http:", "https:")

    def wait(self, number: int) -> None:
        for _ in range(600):
            try:
                with open_http(self.url(), KEY, 5) as client:
                    if client.status("/healthz") == 200:
                        return
            except UnhealthyError:
                assert self.processes[number].poll() is None, self.log(number)
            time.sleep(0.1)
        raise AssertionError(self.log(number))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the authority's certificate, and the server's with its key."""
    folder = tmp_path_factory.mktemp("tls")
    own, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    (folder / "ca.pem").write_bytes(certificate("authority", own, "authority", own))
    (folder / "cert.pem").write_bytes(certificate("qdrant", key, "authority", own))
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*encoding))
    return folder


@pytest.fixture(scope="module")
def server(authority: Path) -> Iterator[TlsServer]:
    files = {"CERT": "cert.pem", "KEY": "key.pem", "CA_CERT": "ca.pem"}
    environment = {f"TLS__{name}": str(authority / file) for name, file in files.items()}
    made = TlsServer(binary(), authority / "server", 1, {"SERVICE__ENABLE_TLS": "true", **environment})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
        try:
            made.start(1)
            yield made
        finally:
            made.down()


@pytest.fixture(params=["REST", "gRPC"])
def address(request: pytest.FixtureRequest, server: TlsServer) -> Address:
    return Address("one", server.url(), server.grpc_url() if request.param == "gRPC" else "")


def test_every_client_accepts_the_authority_of_ssl_cert_file(
    address: Address, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    with Client([address], KEY, seconds=10) as client:
        client.create_collection("docs", VectorParams(2, "Dot"), {})
    with open_node(address, KEY, 10) as node:
        assert node.count("docs") == 0
        node.change_aliases({"current": "docs"})
        assert (node.collection_names(), node.aliases()) == (["docs"], {"current": "docs"})
        node.delete_collection("docs")
    assert asyncio.run(names(address)) == []


async def names(address: Address) -> list[str]:
    client = AsyncClient([address], lambda: KEY, seconds=10, monotonic=time.monotonic, observer=Silent())
    try:
        await client.check_ready()
        return await client.collections()
    finally:
        await client.close()


class Silent:
    def ejected(self, node: Address, reason: str) -> None: ...

    def readmitted(self, node: Address) -> None: ...


def test_a_certificate_of_another_authority_is_refused(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with Client([address], KEY, seconds=10, attempts=1) as client, pytest.raises(RequestFailedError) as refused:
        client.count("docs")
    assert refused.value.failure.is_of_node
    with open_http(address.url, KEY, 10) as http, pytest.raises(UnhealthyError, match="certificate verify failed"):
        http.collection_names()


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_file_without_certificates_is_named(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with pytest.raises(MissingError, match="cannot read the certificates of SSL_CERT_FILE") as raised:
        Client([Address("one", "https://127.0.0.1:1")], KEY, seconds=1)
    assert raised.value.code == "certificates_unreadable"
