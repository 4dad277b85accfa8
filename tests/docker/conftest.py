"""What tests on a real Docker engine share: the engine, images, the plugin, names of their own, and a clean end.

A test that needs what is not here skips with a reason that begins with NOT_HERE; tests/tiers.py counts those.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ragops.adapters.docker.client import DockerHost
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOT_HERE = "not here: "
PLUGIN = "resource-docker-v5.1.0"

# Its reaper is an image that no machine without a registry can have; the fixtures here remove everything themselves.
os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"


@pytest.fixture(scope="session")
def docker() -> DockerHost:
    """The Docker engine."""
    host = DockerHost()
    try:
        host.engine()
    except RagopsError as error:
        pytest.skip(f"{NOT_HERE}a Docker engine ({error.message})")
    return host


@pytest.fixture(scope="session")
def image(docker: DockerHost) -> Callable[[str], str]:
    """A function: the id of an image, by the name that has to be here."""

    def find(reference: str) -> str:
        if (found := docker.image_id(reference)) is None:
            pytest.skip(f"{NOT_HERE}the image {reference} (docker pull it, or see tests/docker/images)")
        return found

    return find


@pytest.fixture(scope="session")
def plugin(docker: DockerHost) -> Path:
    """The folder of Pulumi's Docker plugin."""
    folder = Path(os.environ.get("PULUMI_HOME", Path.home() / ".pulumi")) / "plugins" / PLUGIN
    if not folder.is_dir():
        pytest.skip(f"{NOT_HERE}Pulumi's plugin {PLUGIN} (pulumi plugin install resource docker 5.1.0)")
    return folder


@dataclass
class Scratch:
    """Names that nobody else has; what is made under them is removed at the end."""

    docker: DockerHost
    prefix: str
    labels: dict[str, str] = field(default_factory=dict)

    def name(self, what: str = "") -> str:
        """A name of this test's own."""
        return f"{self.prefix}-{what}" if what else self.prefix

    def clear(self) -> None:
        """Remove containers, then volumes, then networks whose names begin as ours do."""
        api = self.docker.api
        for raw in api.containers(all=True, filters={"name": self.prefix}):
            with contextlib.suppress(RagopsError):
                self.docker.remove(raw["Id"], force=True)
        for raw in api.volumes(filters={"name": self.prefix})["Volumes"] or ():
            self.docker.remove_volume(raw["Name"])
        for raw in api.networks(filters={"name": self.prefix}):
            self.docker.remove_network(raw["Id"])


def _scratch(docker: DockerHost) -> Iterator[Scratch]:
    prefix = f"ragops-test-{uuid.uuid4().hex[:8]}"
    scratch = Scratch(docker, prefix, {"io.ragops.platform": prefix})
    try:
        yield scratch
    finally:
        scratch.clear()


@pytest.fixture
def mine(docker: DockerHost) -> Iterator[Scratch]:
    """Names in Docker for one test."""
    yield from _scratch(docker)


@pytest.fixture(scope="module")
def module_mine(docker: DockerHost) -> Iterator[Scratch]:
    """Names in Docker for the tests of a module."""
    yield from _scratch(docker)
