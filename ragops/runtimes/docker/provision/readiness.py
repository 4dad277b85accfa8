"""The Pulumi dynamic provider that stands for a container that serves.

Pulumi's Docker plugin waits for a health check only when it makes a container, does not notice one that dies
later, and forgets at the next refresh that it has failed. This one looks at every refresh, and waits at every `up`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pulumi.dynamic import Resource

from ragops.adapters.docker.client import DockerHost
from ragops.adapters.docker.inspect import unpause
from ragops.adapters.pulumi.provider import DigestProvider
from ragops.runtimes.docker.inspect.drift import state_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi


@dataclass(frozen=True)
class Wanted:
    """A container that is to serve: by name, how long it may take to, and its grace when it is stopped, in seconds."""

    container: str
    start_timeout: float
    stop_grace: float


def make_ready(host: DockerHost, wanted: Wanted) -> None:
    """Start the container if it is stopped, restart it if it is unhealthy, and wait until it serves.

    Raises RagopsError (service_failed) with the end of its log if it dies, loops or takes too long.
    """
    name = wanted.container
    found = host.container(name)
    if found and found.state.status == "paused":
        unpause(host, name)
    elif found and found.state.health == "unhealthy":
        host.stop(name, wanted.stop_grace)
    host.start(name)
    host.wait_healthy(name, wanted.start_timeout)


@dataclass(frozen=True)
class _Props(Wanted):
    container_id: str


class ReadyProvider(DigestProvider[_Props]):
    """One container that serves; forgotten at the end, because the container has a resource of its own."""

    model = _Props
    place = "container"

    def identify(self, wanted: _Props) -> str:
        """Return the container's name."""
        return wanted.container

    def expected(self, wanted: _Props) -> Mapping[str, Any]:
        """Return the id of the container that is meant."""
        return {"container_id": wanted.container_id}

    def apply(self, wanted: _Props) -> Mapping[str, Any]:
        """Wait until it serves; bring back one that was found not to."""
        host = DockerHost()
        make_ready(host, wanted)
        found = host.container(wanted.container)
        return {**asdict(wanted), "restarts": found.state.restarts if found else 0}

    def observe(self, outputs: Mapping[str, Any]) -> str:
        """Return the state of the container."""
        return state_of(DockerHost().container(outputs["container_id"]), int(outputs.get("restarts") or 0))


class Ready(Resource, module="ragops", name="Ready"):
    """A container that serves; `container_id` is the one that is meant."""

    state: pulumi.Output[str]

    def __init__(
        self, name: str, wanted: Wanted, container_id: pulumi.Output[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        props = {**asdict(wanted), "container_id": container_id, "restarts": None, "state": None}
        super().__init__(ReadyProvider(), name, props, opts)
