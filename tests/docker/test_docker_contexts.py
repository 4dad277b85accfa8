"""Contexts that the docker command itself makes, and a registry that refuses for a while."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from ragops.adapters.docker.client import DockerHost
from ragops.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_a_context_of_the_docker_command_is_used(
    docker: DockerHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command: no context of its making was tried")
    link = tmp_path / "d.sock"
    link.symlink_to(docker.url.removeprefix("unix://"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)

    def cli(*arguments: str) -> None:
        subprocess.run(["docker", "context", *arguments], check=True, capture_output=True, env=os.environ, timeout=60)

    cli("create", "there", "--docker", f"host=unix://{link}")
    assert DockerHost().url == docker.url
    cli("use", "there")
    host = DockerHost()
    assert host.url == f"unix://{link}"
    assert host.engine().version == docker.engine().version


class _Registry(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/v2/" else 429)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"errors": [{"code": "TOOMANYREQUESTS", "message": "pull rate limit"}]}')

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_registrys_429_is_told_as_such_and_not_tried_again(docker: DockerHost, registry: str) -> None:
    with pytest.raises(MissingError) as refused:
        docker.pull(f"{registry}/rag/api:1")
    assert refused.value.code == "registry_limit"
    assert f"`docker login {registry}`" in refused.value.hint
