"""How a gateway's configuration changes while it serves: hot, judged first, undone when it does not hold."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ragops.errors import RagopsError
from ragops.operations.gateway import config as gateway_operations
from ragops.operations.gateway import tokens as token_operations
from ragops.services.contract import Status
from ragops.services.gateway import certificate, tokens
from ragops.services.gateway.health import probe

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.servers

API = "/api/v1/search"


def test_a_revoked_token_is_refused_on_an_open_connection(engine: Any) -> None:
    running, gateway = engine
    url = httpx.URL(gateway.url)
    connection = http.client.HTTPConnection(url.host, url.port, timeout=10)
    headers = {"Authorization": f"Bearer {gateway.token()}"}

    def ask() -> http.client.HTTPResponse:
        connection.request("GET", API, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer

    first = ask()
    opened = connection.sock
    running.apply(running.configuration(keys={"keys": []}))
    second = ask()
    assert (first.status, second.status) == (200, 401)
    assert connection.sock is opened
    running.apply(running.configuration())
    assert ask().status == 200
    connection.close()


def test_a_change_does_not_start_the_rate_limit_over(engine: Any) -> None:
    running, gateway = engine

    def remaining(token: str | None) -> int:
        return int(gateway.request("GET", API, token=token).headers["x-ratelimit-remaining"])

    token = gateway.token(sub="spender")
    spent = {who: [remaining(who) for _ in range(30)] for who in (None, token)}
    other = type(gateway.signer)("tok_ffffffffffff").jwk()
    running.apply(running.configuration(keys={"keys": [gateway.signer.jwk(), other]}))
    for who, left in spent.items():
        assert left[-1] < left[10]
        assert remaining(who) < left[10]


def test_tokens_are_issued_and_revoked_one_by_one(engine: Any, tmp_path: Path) -> None:
    running, gateway = engine
    now = datetime.now(tz=UTC)

    def apply() -> None:
        running.apply(running.configuration(keys=tokens.jwks(tokens.load(tmp_path))))

    one = token_operations.issue(tmp_path, "contract", "tester", now, apply)
    two = token_operations.issue(tmp_path, "contract", "tester", now, apply, timedelta(hours=1), ("search",))
    assert (one.same_name, two.same_name) == (1, 2)
    assert [gateway.request("GET", API, token=each.token).status_code for each in (one, two)] == [200, 200]
    assert gateway.request("GET", API).status_code == 401  # not one of these
    gone = token_operations.revoke(tmp_path, one.kid, now, apply)
    assert [line.kid for line in gone.tokens] == [one.kid]
    assert [gateway.request("GET", API, token=each.token).status_code for each in (one, two)] == [401, 200]
    token_operations.revoke(tmp_path, "tester", now, apply)
    assert gateway.request("GET", API, token=two.token).status_code == 401
    assert token_operations.list_tokens(tmp_path, now) == ()


def test_no_request_is_lost_while_the_configuration_changes(engine: Any) -> None:
    running, gateway = engine
    stop, failed, counts = threading.Event(), [], [0, 0]
    token = gateway.token()

    def ask(mine: int) -> None:
        with httpx.Client(base_url=gateway.url, timeout=10, trust_env=False) as client:
            while not stop.is_set() and counts[mine] < 5000:
                try:
                    status = client.get(API, headers={"Authorization": f"Bearer {token}"}).status_code
                except httpx.HTTPError as error:
                    failed.append(repr(error))
                else:
                    failed.extend([str(status)] if status != 200 else [])
                counts[mine] += 1

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    other = type(gateway.signer)("tok_ffffffffffff").jwk()
    try:
        for index in range(6):
            keys = {"keys": [gateway.signer.jwk(), *([other] if index % 2 else [])]}
            wanted = running.configuration(keys=keys, settings={"origins": (f"https://page{index}.example",)})
            before = list(counts)
            running.apply(wanted)
            _wait(lambda before=before: all(now >= then + 3 for now, then in zip(counts, before, strict=True)))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []


def _wait(reached: Callable[[], bool], seconds: float = 60) -> None:
    """Until `reached`: a slow machine takes longer, a gateway that hangs fails."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "no request came through"
        time.sleep(0.01)


def test_what_the_gateway_refuses_changes_nothing(engine: Any) -> None:
    running, gateway = engine
    before = running.door.current()
    with pytest.raises(RagopsError) as caught:
        running.apply(running.with_an_unknown_field())
    assert caught.value.code == "gateway_config_invalid"
    assert "no_such_field" in caught.value.message
    assert "/tmp" not in caught.value.message
    assert "PRIVATE KEY" not in caught.value.message
    assert running.door.current() == before
    assert gateway.request("GET", API).status_code == 200


def test_a_configuration_that_opens_a_door_is_taken_back(engine: Any) -> None:
    running, gateway = engine
    before = running.door.current()
    with pytest.raises(RagopsError) as caught:
        running.apply(running.without_token_check())
    assert caught.value.code == "gateway_smoke_failed"
    assert "instead of 401" in caught.value.message
    assert "back in force" in caught.value.message
    assert running.door.current() == before
    assert gateway.request("GET", API).status_code == 200
    deadline = time.monotonic() + 5
    while gateway.request("GET", API, token=None).status_code != 401:
        assert time.monotonic() < deadline


def test_diff_shows_what_would_change(engine: Any) -> None:
    running, _ = engine
    assert not gateway_operations.diff(running.door, running.inputs).changed
    wanted = running.changed(settings={"origins": ("https://new.example",)})
    found = gateway_operations.check(running.door, wanted)
    assert len(found.files) == 1
    assert any(line.startswith("+") and "new" in line for line in found.files[0].lines)
    assert not found.restart
    assert gateway_operations.diff(running.door, running.changed(settings={"body_limit": "7mb"})).restart
    done = gateway_operations.apply(
        running.door,
        wanted,
        lambda: running.apply(running.configuration(settings={"origins": ("https://new.example",)})),
    )
    assert done.changed == (found.files[0].name,)
    assert not gateway_operations.diff(running.door, wanted).changed


def test_no_key_is_shown(engine: Any) -> None:
    running, _ = engine
    shown = [*running.door.current().values(), *running.door.files(running.inputs).values()]
    assert shown
    assert not [text for text in shown if "PRIVATE KEY" in text]


def test_a_new_certificate_is_served_without_a_restart(engine: Any) -> None:
    running, gateway = engine
    folder, now = Path(gateway.certificate).parent, datetime.now(tz=UTC)
    Path(gateway.certificate).unlink()
    certificate.ensure(folder, now - certificate.VALID + timedelta(days=10))
    running.apply(running.configuration())
    before = Path(gateway.certificate).read_bytes()
    certificate.ensure(folder, now)
    assert Path(gateway.certificate).read_bytes() != before
    running.apply(running.configuration())  # its smoke test trusts the new one alone
    for name in ("localhost", None):  # a client of an address names no server
        assert _served(gateway, name) == Path(gateway.certificate).read_bytes().strip()


def test_a_lost_folder_of_the_certificate_is_made_again(engine: Any) -> None:
    running, gateway = engine
    folder = Path(gateway.certificate).parent
    for _ in range(2):  # what watched the first folder is gone with it
        shutil.rmtree(folder)
        certificate.ensure(folder, datetime.now(tz=UTC))
        running.apply(running.configuration())
        assert _served(gateway, "localhost") == Path(gateway.certificate).read_bytes().strip()


def _put_own_pair(folder: Path, days: int) -> Path:
    """A chain for a public name only, as an authority on the web would sign it."""
    authority, private = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    chain = []
    for subject, key, is_authority in (("rag.example", private, False), ("Some Authority", authority, True)):
        built = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Some Authority")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(tz=UTC) - timedelta(days=60))
            .not_valid_after(datetime.now(tz=UTC) + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("rag.example")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .sign(authority, hashes.SHA256())
        )
        chain.append(built.public_bytes(Encoding.PEM))
    (folder / "tls.crt").write_bytes(b"".join(chain))
    (folder / "tls.key").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "tls.crt"


@pytest.mark.parametrize(("days", "status"), [(80, Status.OK), (10, Status.DEGRADED), (-2, Status.DOWN)])
def test_a_certificate_of_the_users_own_is_served(engine: Any, days: int, status: Status) -> None:
    running, gateway = engine
    folder, now = Path(gateway.certificate).parent, datetime.now(tz=UTC)
    saved = {name: (folder / name).read_bytes() for name in certificate.FILES}
    try:
        text = _put_own_pair(folder, days).read_bytes()
        assert certificate.ensure(folder, now).certificate.read_bytes() == text
        running.apply(running.configuration())
        assert text.startswith(_served(gateway, "rag.example"))
        check = next(check for check in probe(running.endpoint(), 5).checks if check.name == "certificate")
        assert check.status is status
        assert "ragops up" not in check.hint, "ragops does not renew what it did not make"
        running.apply(running.configuration(keys={"keys": []}))  # a token is revoked
        assert gateway.request("GET", API).status_code == 401
    finally:
        for name, content in saved.items():
            (folder / name).write_bytes(content)
        running.apply()


def _served(gateway: Any, name: str | None) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = ("127.0.0.1", httpx.URL(gateway.tls_url).port)
    with socket.create_connection(address, 10) as plain, context.wrap_socket(plain, server_hostname=name) as secure:
        found = secure.getpeercert(binary_form=True)
    assert found is not None
    return ssl.DER_cert_to_PEM_cert(found).encode().strip()


def test_the_probe_says_how_it_is(own_engine: Any) -> None:
    running, gateway = own_engine
    healthy = probe(running.endpoint(), 5)
    assert {check.name: check.status for check in healthy.checks} == dict.fromkeys(
        ("reachable", "closed", "certificate", "upstream"), Status.OK
    )
    gateway.upstream.stop()
    deadline = time.monotonic() + 20
    while probe(running.endpoint(), 5).status is not Status.DEGRADED:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    gateway.upstream.start(gateway.upstream.port)
    running.stop()
    assert probe(running.endpoint(), 2).status is Status.DOWN
