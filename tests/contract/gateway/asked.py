"""A gateway as a contract test sees it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from tests.contract.gateway.upstream import PROBE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.services.gateway.configuration import GatewayInputs
    from ragops.services.gateway.policy import GatewayPolicy
    from tests.contract.gateway.upstream import Signer, Upstream


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

    @classmethod
    def of(cls, inputs: GatewayInputs, signer: Signer, upstream: Upstream) -> Gateway:
        """The gateway that an engine makes of `inputs` on this machine."""
        settings = inputs.settings
        urls = f"http://127.0.0.1:{settings.port}", f"https://localhost:{settings.tls_port}"
        return cls(*urls, inputs.certificate, inputs.policy("127.0.0.1"), signer, upstream)

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

    @contextlib.contextmanager
    def stream(self, path: str) -> Iterator[Iterator[str]]:
        """The lines of a stream of events, as they arrive."""
        headers = {"Authorization": f"Bearer {self.token()}", "Accept": "text/event-stream"}
        with (
            httpx.Client(base_url=self.url, timeout=10, trust_env=False) as client,
            client.stream("POST", path, headers=headers, json={"query": "x"}) as answer,
        ):
            assert answer.status_code == 200, answer.read()
            yield answer.iter_lines()

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


def until_upstream_answers(gateway: Gateway) -> None:
    """The gateway's own health check has to have seen the upstream first."""
    deadline = time.monotonic() + 15
    while True:
        waiting = gateway.token(sub=f"waiting-{time.monotonic_ns()}")  # a consumer whose rate limit no test counts
        if (status := gateway.request("GET", "/api/v1/search", token=waiting).status_code) == 200:
            break
        assert time.monotonic() < deadline, f"the upstream is not reached: {status}"
        time.sleep(0.05)
    gateway.upstream.seen.clear()


@contextlib.contextmanager
def running(engine: Any, signer: Signer, upstream: Upstream, folder: Path) -> Iterator[Gateway]:
    """The gateway of an engine, which is started and asked until it reaches the upstream; nothing of it is left."""
    try:
        engine.start()
        gateway = Gateway.of(engine.inputs, signer, upstream)
        until_upstream_answers(gateway)
        yield gateway
    finally:
        engine.stop()
        upstream.stop()
        shutil.rmtree(folder, ignore_errors=True)
