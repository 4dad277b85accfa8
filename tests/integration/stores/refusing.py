"""A proxy before an S3 server that lets nothing be replaced or removed, as object lock or a narrow key does."""

from __future__ import annotations

import http.client
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HOP = {"connection", "keep-alive", "transfer-encoding"}
_DENIED = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'


@dataclass
class Rules:
    """What is refused: nothing is by default. `refused` are the requests that were."""

    delete: bool = False
    overwrite: bool = False
    ask_for_missing: bool = False
    denied: list[str] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)

    def all(self) -> None:
        """The narrowest of keys."""
        self.delete = self.overwrite = self.ask_for_missing = True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rules: ClassVar[Rules]
    data: ClassVar[Path]
    port: ClassVar[int]

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self._is_denied(body):
            self.rules.denied.append(f"{self.command} {self.path}")
            self._send(403, {"Content-Type": "application/xml"}, b"" if self.command == "HEAD" else _DENIED)
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
            self._send(answer.status, kept, content)
        finally:
            connection.close()

    def _is_denied(self, body: bytes) -> bool:
        parts = urlsplit(self.path)
        file = self.data / unquote(parts.path).strip("/")
        query = parse_qs(parts.query, keep_blank_values=True)
        if self.command == "DELETE" or (self.command == "POST" and "delete" in query):
            return self.rules.delete  # also the end of an upload that was begun
        if self.command == "PUT" or (self.command == "POST" and "uploadId" in query and b"Complete" in body):
            return self.rules.overwrite and file.is_file()
        if unquote(parts.path).endswith(tuple(self.rules.unreadable)) and self.rules.unreadable:
            return True
        is_object = self.command in ("GET", "HEAD") and "/" in parts.path.strip("/")
        return self.rules.ask_for_missing and is_object and not file.exists()

    def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if not (name.lower() == "content-length" and self.command != "HEAD"):
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer


@contextmanager
def refusing(data: Path, port: int) -> Iterator[tuple[Rules, int]]:
    """Rules, and the port of a proxy before the server on `port` that serves `data`."""
    rules = Rules()
    handler = type("Handler", (_Handler,), {"rules": rules, "data": data, "port": port})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield rules, server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
