"""A restore ends when the API answers: asked until it does, some times in a row, and for so long only."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from ragops.config.load import load
from ragops.operations.lifecycle.init import init
from ragops.operations.observe.wait_answering import wait_for_answers
from ragops.operations.session import Session
from ragops.services.contract import Endpoint, Login

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Api(ThreadingHTTPServer):
    """An API whose database is away for the first `away` questions whether it is ready."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.away = self.asked = 0
        self.fault = "database: PoolTimeout"


class Answers(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        api = self.server
        ok = {"name": "database", "status": "ok", "detail": "answers"}
        body: dict[str, object] = {"breakers": [], "qdrant_nodes_left_out": []}
        if self.path == "/readyz":
            api.asked += 1
            gone = {**ok, "status": "degraded", "detail": api.fault}
            checks = [gone if api.asked <= api.away else ok]
            body = {"checks": checks, "embedder": "hashing", "chat_model": None}
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


@pytest.fixture
def session(tmp_path: Path, api: Api) -> Session:
    init(tmp_path, "rag", "embedded")
    session = Session(load(tmp_path / "ragops.yaml", None, {}), "test", lambda _text: None)
    secret = next(name for name in session.make_secrets() if "service" in name or "api" in name)
    logins = {role: Login("ragops", secret) for role in ("operator", "application")}
    endpoint = Endpoint("api", "ragops", "0", "embedded", "127.0.0.1", api.server_address[1], logins=logins)
    session.project.paths.endpoints.parent.mkdir(parents=True)
    session.project.paths.endpoints.write_text(json.dumps({"api": endpoint.to_dict()}))
    return session


def test_it_is_asked_until_it_answers_some_times_in_a_row(session: Session, api: Api) -> None:
    api.away = 2
    assert wait_for_answers(session) == ()
    assert api.asked >= 2 + 3


def test_what_it_lacks_is_said_when_the_time_is_over(session: Session, api: Api) -> None:
    api.away = 1_000_000
    (fault,) = wait_for_answers(session, seconds=0.5)
    assert "PoolTimeout" in fault


def test_a_platform_without_one_is_not_waited_for(session: Session, api: Api) -> None:
    session.project.paths.endpoints.write_text("{}")
    assert wait_for_answers(session) == ()
    assert api.asked == 0
