"""Fetching models from a server that speaks Ollama's protocol: what is there, what breaks half-way, what is unknown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from ragops.config.model import Settings
from ragops.errors import RagopsError, UnhealthyError
from ragops.services.contract import Endpoint, Status
from ragops.services.ollama.component import ModelsProvider
from ragops.services.ollama.health import probe
from ragops.services.ollama.models import fetch, find_missing
from tests.web_server import WebServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web_server import Request


class Server(WebServer):
    """A server with the models `there`, whose pulls break off `breaks` times before they end."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.breaks = 0
        self.pulls: list[str] = []
        super().__init__(self._answer)

    def _answer(self, request: Request) -> Any:
        if request.method == "GET":
            return 200, {"models": [{"name": name} for name in sorted(self.there)]}
        return 200, "\n".join(map(json.dumps, self._pull(request.json()["model"]))).encode()

    def _pull(self, model: str) -> list[object]:
        self.pulls.append(model)
        if model.startswith("nobody"):
            return [{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}]
        if self.breaks:
            self.breaks -= 1
            return [{"status": "pulling manifest"}, {"status": "downloading", "total": 9, "completed": 4}]
        self.there.add(model if ":" in model else f"{model}:latest")
        return [{"status": "pulling manifest"}, {"status": "success"}]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def test_only_what_is_missing_is_fetched(server: Server) -> None:
    server.there = {"nomic-embed-text:latest", "llama3.2:3b"}
    assert find_missing(server.url, ["nomic-embed-text", "llama3.2:3b", "llama3.2"]) == ("llama3.2",)
    fetch(server.url, ["nomic-embed-text", "llama3.2"])
    assert server.pulls == ["llama3.2"]
    assert find_missing(server.url, ["llama3.2"]) == ()


def test_a_pull_that_breaks_off_goes_on(server: Server) -> None:
    server.breaks = 2
    fetch(server.url, ["nomic-embed-text"])
    assert server.pulls == ["nomic-embed-text"] * 3
    assert "nomic-embed-text:latest" in server.there


def test_a_model_that_nobody_has_is_said_at_once(server: Server) -> None:
    with pytest.raises(RagopsError) as caught:
        fetch(server.url, ["nobody-knows-it"])
    assert caught.value.code == "model_unknown"
    assert server.pulls == ["nobody-knows-it"]
    assert caught.value.hint


def test_a_server_that_is_away_is_no_traceback(server: Server) -> None:
    server.close()
    with pytest.raises(UnhealthyError) as caught:
        fetch(server.url, ["nomic-embed-text"])
    assert caught.value.code == "ollama_unreachable"


def test_the_resource_is_true_about_the_models(server: Server) -> None:
    provider, props = ModelsProvider(), {"url": server.url, "models": ["nomic-embed-text"]}
    outs = provider.create(props).outs
    assert provider.diff("x", outs, props).changes is False
    server.there.clear()
    seen = provider.read("x", outs).outs
    assert seen["state"] == "missing nomic-embed-text"
    assert provider.diff("x", seen, props).changes is True
    provider.update("x", seen, props)
    assert server.there == {"nomic-embed-text:latest"}


def test_a_server_that_is_down_has_lost_no_model(server: Server) -> None:
    provider, props = ModelsProvider(), {"url": server.url, "models": ["nomic-embed-text"]}
    outs = provider.create(props).outs
    server.close()
    assert provider.read("x", outs).outs == outs


def test_health_names_the_model_that_is_missing(server: Server) -> None:
    options = {"models": "nomic-embed-text,llama3.2"}
    endpoint = Endpoint("ollama", "ollama", "1", "docker", "127.0.0.1", server.port, options=options)
    server.there = {"nomic-embed-text:latest"}
    found = {check.name: check for check in probe(endpoint, 5).checks}
    assert (found["models"].status, found["models"].detail) == (Status.DOWN, "missing: llama3.2")
    server.there.add("llama3.2:latest")
    assert probe(endpoint, 5).status is Status.OK
    server.close()
    assert probe(endpoint, 5).status is Status.DOWN


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"ollama": {"models": ["nomic-embed-text"]}}, "for the docker runtime"),
        ({"runtime": "docker", "ollama": {"models": ["other"]}}, "lacks nomic-embed-text"),
        ({"runtime": "docker", "ollama": {"models": []}}, "ollama"),
        ({"api": {"embedder": {"kind": "hashing"}, "chat": {"model": "llama3.2"}}}, "api.chat.model needs"),
    ],
)
def test_settings_that_do_not_fit_together(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings.model_validate({"name": "x", **values})
