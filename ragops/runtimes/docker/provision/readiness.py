"""The Pulumi dynamic provider that stands for a container that serves.

Pulumi's Docker plugin waits for a health check only when it makes a container, does not notice one that dies
meanwhile, and forgets at the next refresh that it has failed. This one looks at every refresh, and waits at every `up`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from ragops.adapters.docker.client import DockerHost
from ragops.adapters.docker.inspect import unpause
from ragops.errors import RagopsError, encode_error
from ragops.runtimes.contract import RUNNING
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
    """Start the container where it is stopped, restart it where it is unhealthy, and wait until it serves.

    Raises RagopsError (service_failed) with the end of its log where it dies, loops or takes too long.
    """
    name = wanted.container
    found = host.container(name)
    if found and found.state.status == "paused":
        unpause(host, name)
    elif found and found.state.health == "unhealthy":
        host.stop(name, wanted.stop_grace)
    host.start(name)
    host.wait_healthy(name, wanted.start_timeout)


class ReadyProvider(ResourceProvider):
    """Create, read, update and forget of one container's being ready."""

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Wait until it serves."""
        return CreateResult(props["container"], _ready(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Wait for the container that took its place, or bring back the one that was found not to serve."""
        return UpdateResult(_ready(news))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """A difference is another container, or one that does not serve."""
        changed = olds.get("container_id") != news.get("container_id") or olds.get("state") != RUNNING
        moved = olds.get("container") != news.get("container")
        return DiffResult(changes=changed, replaces=["container"] if moved else [], stables=[])

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Look at the container: the state never claims what is not so."""
        try:
            found = DockerHost().container(props["container_id"])
        except RagopsError as error:
            raise RuntimeError(encode_error(error)) from error
        return ReadResult(id_, {**props, "state": state_of(found, int(props.get("restarts") or 0))})

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Forget it: the container ends on its own account."""


def _ready(props: Mapping[str, Any]) -> dict[str, Any]:
    wanted = Wanted(props["container"], float(props["start_timeout"]), float(props["stop_grace"]))
    host = DockerHost()
    try:
        make_ready(host, wanted)
        found = host.container(wanted.container)
    except RagopsError as error:
        raise RuntimeError(encode_error(error)) from error
    restarts = found.state.restarts if found else 0
    return {**asdict(wanted), "container_id": props["container_id"], "restarts": restarts, "state": RUNNING}


class Ready(Resource, module="ragops", name="Ready"):
    """A container that serves; `container_id` is the one that is meant."""

    state: pulumi.Output[str]

    def __init__(
        self, name: str, wanted: Wanted, container_id: pulumi.Output[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        props = {**asdict(wanted), "container_id": container_id, "restarts": None, "state": None}
        super().__init__(ReadyProvider(), name, props, opts)
