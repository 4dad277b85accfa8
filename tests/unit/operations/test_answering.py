"""A restore ends when the API answers: asked until it does, some times in a row, and for so long only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ragops.operations.observe.wait_healthy import wait_for_answers
from ragops.services.contract import Endpoint, Login
from tests.backup_helpers import session_in
from tests.web_server import WebServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.operations.session import Session
    from tests.web_server import Request


class Api(WebServer):
    """An API whose database is away for the first `away` questions whether it is ready."""

    def __init__(self) -> None:
        self.away = self.asked = 0
        self.fault = "database: PoolTimeout"
        self.name = "database"
        super().__init__(self._answer)

    def _answer(self, request: Request) -> Any:
        if request.path != "/readyz":
            return 200, {"breakers": [], "qdrant_nodes_left_out": []}
        self.asked += 1
        ok = {"name": self.name, "status": "ok", "detail": "answers"}
        gone = {**ok, "status": "degraded", "detail": self.fault}
        checks = [gone if self.asked <= self.away else ok]
        return 200, {"checks": checks, "embedder": "hashing", "chat_model": None}


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        yield server


@pytest.fixture
def session(tmp_path: Path, api: Api) -> Session:
    session = session_in(tmp_path)
    secret = next(name for name in session.make_secrets() if "service" in name or "api" in name)
    logins = {role: Login("ragops", secret) for role in ("operator", "application")}
    endpoint = Endpoint("api", "ragops", "0", "embedded", "127.0.0.1", api.port, logins=logins)
    session.project.paths.endpoints.parent.mkdir(parents=True)
    session.project.paths.endpoints.write_text(json.dumps({"api": endpoint.to_dict()}))
    return session


def test_it_is_asked_until_it_answers_some_times_in_a_row(session: Session, api: Api) -> None:
    api.away = 2
    assert wait_for_answers(session) == ()
    assert api.asked >= 2 + 3


@pytest.mark.parametrize("name", ["ollama", "openai", "openai BAAI/bge-m3", "chat"])
def test_a_server_of_models_that_is_away_is_not_waited_for(session: Session, api: Api, name: str) -> None:
    api.away, api.name = 1_000_000, name
    assert wait_for_answers(session) == ()


def test_what_it_lacks_is_said_when_the_time_is_over(session: Session, api: Api) -> None:
    api.away = 1_000_000
    (fault,) = wait_for_answers(session, seconds=0.5)
    assert "PoolTimeout" in fault


def test_a_platform_without_one_is_not_waited_for(session: Session, api: Api) -> None:
    session.project.paths.endpoints.write_text("{}")
    assert wait_for_answers(session) == ()
    assert api.asked == 0
