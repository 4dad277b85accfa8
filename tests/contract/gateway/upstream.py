"""The echo behind a gateway under test, and who signs the tokens."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

PROBE = "X-Probe"


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

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        self._host = host
        self.seen: list[Seen] = []
        self.extra_headers: dict[str, str] = {}
        self.may_go_on, self.left = threading.Event(), threading.Event()  # of a stream of events
        self.connections = 0  # that were made, in all
        self._open: set[socket.socket] = set()
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                upstream._open.add(self.connection)
                upstream.connections += 1

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
        self._server = http.server.ThreadingHTTPServer((self._host, port), self._handler)
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
        if request.headers.get("Accept") == "text/event-stream":
            self._stream(request)
            return
        body = json.dumps({"path": request.path}).encode()
        request.send_response(200)
        for name, value in {"Content-Length": str(len(body)), **self.extra_headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    def _stream(self, request: http.server.BaseHTTPRequestHandler) -> None:
        """Send one event, and the second one when the test allows it; note a client that leaves before."""
        request.send_response(200)
        for name, value in {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}.items():
            request.send_header(name, value)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        self._send_chunk(request, b"data: first\n\n")
        try:
            while not self.may_go_on.wait(0.05):
                self._send_chunk(request, b": waiting\n\n")
            self._send_chunk(request, b"data: second\n\n")
            request.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.left.set()
            request.close_connection = True

    @staticmethod
    def _send_chunk(request: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
        request.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

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
