"""The process of `ragops health` ends within its deadline, whatever a server does to it."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from ragops.services import SERVICES
from ragops.services.contract import Endpoint, Login

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE = 1.0
PATIENCE = 30.0  # of the test: what outlives its deadline here waits for as long as the server lives


@pytest.fixture(params=["silent", "dripping"])
def server(request: pytest.FixtureRequest) -> Iterator[int]:
    """A server that accepts and never answers, or sends a byte now and then, so that no read ever times out."""
    over = threading.Event()
    held: list[socket.socket] = []
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)

    def drip(one: socket.socket) -> None:
        while not over.wait(0.2):
            try:
                one.sendall(b"H")
            except OSError:
                return

    def accept() -> None:
        while not over.is_set():
            try:
                one, _ = listener.accept()
            except OSError:
                return
            held.append(one)
            if request.param == "dripping":
                threading.Thread(target=drip, args=(one,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    over.set()
    listener.close()
    for one in held:
        one.close()


def provisioned(root: Path, port: int) -> None:
    """A project whose services all are that server."""
    (root / "ragops.yaml").write_text("name: rag\n")
    secrets = {name: "x" for service in SERVICES for name in service.secrets()}
    (root / ".ragops" / "secrets").mkdir(parents=True)
    (root / ".ragops" / "secrets" / "default.json").write_text(json.dumps(secrets))
    run = root / ".ragops" / "run" / "default"
    run.mkdir(parents=True)
    endpoints = {}
    for service in ("redis", "timescaledb", "qdrant", "api", "gateway"):
        names = next(one.secrets() for one in SERVICES if one.name == service)
        logins = {who: Login("u", names[0]) for who in ("operator", "application")} if names else {}
        options = {"database": "rag"} if service != "gateway" else {}
        one = Endpoint(service, "engine", "1", "embedded", "127.0.0.1", port, str(run / service), options, logins)
        endpoints[service] = one.to_dict()
    (run / "endpoints.json").write_text(json.dumps(endpoints))


def test_the_process_ends_though_no_server_answers(tmp_path: Path, server: int) -> None:
    provisioned(tmp_path, server)
    command = [sys.executable, "-m", "ragops", "health", "--json", "--timeout", str(DEADLINE)]
    done = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, timeout=PATIENCE)
    assert done.returncode == 3, done.stderr
    probes = {probe["service"]: probe for probe in json.loads(done.stdout)["probes"]}
    assert {name for name, probe in probes.items() if probe["checks"][0]["status"] == "down"} >= {"redis", "qdrant"}


ANSWERS = {
    "/": {"title": "qdrant", "version": "1.18.3"},
    "/collections": {"result": {"collections": [{"name": "manuals"}]}},
}


@pytest.fixture
def half_dead() -> Iterator[int]:
    """A Qdrant that answers for itself and its list of collections, and only drips about a single collection."""
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if "/manuals" in self.path:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                while not over.wait(0.2):
                    self.wfile.write(b" ")
                return
            allowed = "api-key" in self.headers or self.path == "/"
            body = json.dumps(ANSWERS.get(self.path, {})).encode() if allowed else b"{}"
            self.send_response(200 if allowed or self.path == "/readyz" else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.daemon_threads = True
        threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
        yield listener.server_address[1]
        over.set()
        listener.shutdown()


def test_the_process_ends_though_a_collection_is_never_described(tmp_path: Path, half_dead: int) -> None:
    provisioned(tmp_path, half_dead)
    command = [sys.executable, "-m", "ragops", "health", "qdrant", "--json", "--timeout", str(DEADLINE)]
    done = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, timeout=PATIENCE)
    assert done.returncode == 3, done.stderr
    (probe,) = json.loads(done.stdout)["probes"]
    assert probe["checks"][0]["name"] == "deadline", "it was waiting for that collection"
