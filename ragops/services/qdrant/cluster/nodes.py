"""The nodes of an endpoint, and clients of those that answer."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.background import BackgroundTask
from ragops.adapters.qdrant.http import HttpClient, open_http
from ragops.errors import RagopsError, UnhealthyError
from ragops.services.qdrant.addresses import addresses, operator_key
from ragops.services.qdrant.cluster.shards import ShardMap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.adapters.qdrant.addresses import Address
    from ragops.services.contract import Endpoint

_HELLO_SECONDS = 2.0


@dataclass(frozen=True)
class ShardPlacement:
    """Where the shards of a collection lie; `clients` of the nodes that answer are by the number of their peer."""

    shards: ShardMap
    clients: dict[int, HttpClient]


@dataclass(frozen=True)
class Nodes:
    """Clients of the nodes that answer, at least one; `unreachable` are the errors of the others by their names."""

    clients: tuple[HttpClient, ...]
    unreachable: dict[str, RagopsError]

    @property
    def first(self) -> HttpClient:
        """The one that is asked where any will do."""
        return self.clients[0]

    def require_all(self, purpose: str) -> None:
        """Raise UnhealthyError (qdrant_node_down) where a node does not answer; `purpose` says what needs them all."""
        for name, error in self.unreachable.items():
            what = f"{purpose} needs every node, and {error.message}"
            raise UnhealthyError("qdrant_node_down", what, f"`ragops up` starts {name}; see `ragops logs qdrant`")

    def shard_placement(self, path: str) -> ShardPlacement:
        """Return the shards of the collection at `path`, as the first node reports them."""
        views = {client: ShardMap.of(client.get(f"{path}/cluster")) for client in self.clients}
        return ShardPlacement(views[self.first], {view.peer: client for client, view in views.items()})


@contextmanager
def connect(endpoint: Endpoint, timeout: float) -> Iterator[Nodes]:
    """Clients with the operator's key; every answer may take up to `timeout` seconds.

    Raises UnhealthyError (qdrant_unreachable) if no node answers.
    """
    wanted = addresses(endpoint)
    # No pool: the process would wait for its threads at the end, however long a node takes to say nothing.
    hellos = [BackgroundTask(lambda one=one: _greeting(endpoint, one, timeout), "qdrant-hello") for one in wanted]  # type: ignore[misc]
    failures = [hello.result() for hello in hellos]
    unreachable = {address.name: error for address, error in zip(wanted, failures, strict=True) if error}
    if len(unreachable) == len(wanted):
        raise unreachable[wanted[0].name]
    with ExitStack() as stack:
        clients = tuple(
            stack.enter_context(open_http(address.url, operator_key(endpoint), timeout, address.name))
            for address in wanted
            if address.name not in unreachable
        )
        yield Nodes(clients, unreachable)


def _greeting(endpoint: Endpoint, address: Address, timeout: float) -> RagopsError | None:
    """Return why the node does not answer, None if it does."""
    with open_http(address.url, operator_key(endpoint), min(timeout, _HELLO_SECONDS), address.name) as client:
        try:
            client.status("/healthz")
        except RagopsError as error:
            return error
    return None
