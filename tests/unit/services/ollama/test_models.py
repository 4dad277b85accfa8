"""Fetching models from a server that speaks Ollama's protocol: what is there, what breaks half-way, what is unknown."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from ragops.config.model import Settings
from ragops.errors import RagopsError, UnhealthyError
from ragops.services.contract import Endpoint, Status
from ragops.services.ollama.component import ModelsProvider
from ragops.services.ollama.health import probe
from ragops.services.ollama.models import fetch, find_missing

if TYPE_CHECKING:
    from collections.abc import Iterator


class Server:
    """A server with the models `there`, whose pulls break off `breaks` times before they end."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.breaks = 0
        self.pulls: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                self._answer([{"models": [{"name": name} for name in sorted(outer.there)]}])

            def do_POST(self) -> None:
                model = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["model"]
                outer.pulls.append(model)
                if model.startswith("nobody"):
                    self._answer(
                        [{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}]
                    )
                elif outer.breaks:
                    outer.breaks -= 1
                    self._answer(
                        [{"status": "pulling manifest"}, {"status": "downloading", "total": 9, "completed": 4}]
                    )
                else:
                    outer.there.add(model if ":" in model else f"{model}:latest")
                    self._answer([{"status": "pulling manifest"}, {"status": "success"}])

            def _answer(self, lines: list[object]) -> None:
                body = "\n".join(map(json.dumps, lines)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


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
