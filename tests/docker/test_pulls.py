"""Pulls from a real registry protocol: progress, digests, a tag that moves, and an image that went away."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from ragops.config.load import Project
from ragops.config.model import Settings
from ragops.config.paths import ProjectPaths
from ragops.operations.lifecycle import images
from ragops.operations.session import Session
from ragops.runtimes.docker.images import store as docker_fetch
from ragops.runtimes.docker.images import store as docker_store
from ragops.runtimes.docker.images.pins import pins_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.adapters.docker.client import DockerHost
    from ragops.adapters.progress import Progress

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Registry:
    """The part of the registry protocol that a pull speaks (distribution spec v2), on loopback."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    address: str = ""

    def publish(self, tag: str, size: int = 3_000_000) -> str:
        """An image of one layer of random bytes; returns its manifest's digest."""
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as archive:
            info = tarfile.TarInfo("file")
            info.size = size
            archive.addfile(info, io.BytesIO(os.urandom(size)))
        layer = gzip.compress(raw.getvalue(), mtime=0)
        config = {
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(raw.getvalue())]},
        }  # fmt: skip
        text = json.dumps(config).encode()
        manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": self._blob("application/vnd.docker.container.image.v1+json", text),
            "layers": [self._blob("application/vnd.docker.image.rootfs.diff.tar.gzip", layer)],
        }  # fmt: skip
        self.tags[tag] = self._blob(MANIFEST, json.dumps(manifest).encode())["digest"]
        return self.tags[tag]

    def _blob(self, kind: str, content: bytes) -> dict[str, Any]:
        self.blobs[digest_of(content)] = content
        return {"mediaType": kind, "size": len(content), "digest": digest_of(content)}


@pytest.fixture
def registry() -> Iterator[Registry]:
    made = Registry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            digest = made.tags.get(name, name)
            content = b"{}" if self.path == "/v2/" else made.blobs.get(digest)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Type", MANIFEST if "/manifests/" in self.path else "application/octet-stream")
            self.send_header("Docker-Content-Digest", digest)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content or b"")

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made.address = f"127.0.0.1:{server.server_port}"  # an address that Docker speaks plain HTTP to
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def session(tmp_path: Path) -> Session:
    settings = Settings(name="test", runtime="docker", observability=False)
    return Session(Project(settings, ProjectPaths(tmp_path, "default"), tmp_path / "x"), "test", lambda _text: None)


def test_what_a_reference_meant_is_kept_through_all_that_a_tag_may_do(
    docker: DockerHost, registry: Registry, session: Session, mine, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{registry.address}/{mine.prefix}"
    for module in (docker_store, docker_fetch):
        monkeypatch.setattr(module, "references", lambda _settings: {"redis": f"{name}:1"})
    said: list[Progress] = []
    first = registry.publish("1")
    try:
        docker_fetch.fetch_missing(docker, session.project, said.append)
        pin = pins_of(session.project)[f"{name}:1"]
        assert pin.digest == f"{name}@{first}"
        assert said[0].text == "pulling"
        assert said[-1].final
        assert any("of 2.9 MiB" in item.text for item in said), said

        second = registry.publish("1")
        docker_fetch.fetch_missing(docker, session.project, said.append)
        assert pins_of(session.project)[f"{name}:1"] == pin

        docker.api.remove_image(pin.id, force=True)
        docker_fetch.fetch_missing(docker, session.project, said.append)
        assert pins_of(session.project)[f"{name}:1"] == pin, "the same image again, not what the tag means now"
        assert docker.image(pin.id)

        [found] = images.pull_images(session, said.append, renew=True)
        assert found.digest == f"{name}@{second}"
        assert pins_of(session.project)[f"{name}:1"].id == found.id != pin.id
    finally:
        for image in docker.api.images():
            if any(mine.prefix in tag for tag in (image["RepoDigests"] or []) + (image["RepoTags"] or [])):
                docker.api.remove_image(image["Id"], force=True)
