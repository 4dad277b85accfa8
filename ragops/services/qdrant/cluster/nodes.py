"""The nodes of an endpoint: their addresses, and clients of those that answer."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ragops.adapters.background import BackgroundTask
from ragops.adapters.qdrant.addresses import Address
from ragops.adapters.qdrant.http import open_http
from ragops.adapters.qdrant.node_client import NodeClient, open_node
from ragops.errors import RagopsError, UnhealthyError
from ragops.services.qdrant.cluster.shards import ShardMap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.services.contract import Endpoint


def addresses(endpoint: Endpoint) -> tuple[Address, ...]:
    """Return every node of the endpoint, in its order; a server without names of nodes is called by its service."""
    found = tuple(Address(node.name, node.url, node.grpc_url) for node in endpoint.nodes)
    return found or (Address(endpoint.service, f"http://{endpoint.host}:{endpoint.port}"),)


def is_cluster(endpoint: Endpoint) -> bool:
    """Return whether the endpoint is a server that ragops runs as a cluster, be it of one node."""
    return bool(endpoint.nodes)


def operator_key(endpoint: Endpoint) -> str:
    """Return the operator's key."""
    return endpoint.logins["operator"].password.get_secret_value()


_HELLO_SECONDS = 2.0


@dataclass(frozen=True)
class ShardPlacement:
    """The shards of a collection, and the clients of the nodes that answer by the number of their peer."""

    shards: ShardMap
    clients: dict[int, NodeClient]


@dataclass(frozen=True)
class Nodes:
    """Clients of the nodes that answer, at least one; `unreachable` are the errors of the others by their names."""

    clients: tuple[NodeClient, ...]
    unreachable: dict[str, RagopsError]

    @property
    def first(self) -> NodeClient:
        """Return the client for requests that every node can answer."""
        return self.clients[0]

    def require_all(self, purpose: str) -> None:
        """Raise UnhealthyError (qdrant_node_down) if a node does not answer; `purpose` is what needs every node."""
        for name, error in self.unreachable.items():
            what = f"cannot start {purpose}: it needs every node, and {error.message}"
            raise UnhealthyError("qdrant_node_down", what, f"`ragops up` starts {name}; see `ragops logs qdrant`")

    def shard_placement(self, collection: str) -> ShardPlacement:
        """Return the shards of the collection, as the first node reports them."""
        views = {client: ShardMap.read(client, collection) for client in self.clients}
        return ShardPlacement(views[self.first], {view.peer: client for client, view in views.items()})


@contextmanager
def connect(endpoint: Endpoint, timeout: float) -> Iterator[Nodes]:
    """Connect with the operator's key to the nodes that answer; an answer takes at most `timeout` seconds.

    Raises UnhealthyError (qdrant_unreachable) if no node answers.
    """
    wanted = addresses(endpoint)
    # No executor: the process would wait for its threads at the end, however long a node does not answer.
    tasks = [BackgroundTask(partial(_find_silence, endpoint, one, timeout), "qdrant-hello") for one in wanted]
    failures = [task.result() for task in tasks]
    unreachable = {address.name: error for address, error in zip(wanted, failures, strict=True) if error}
    if len(unreachable) == len(wanted):
        raise unreachable[wanted[0].name]
    with ExitStack() as stack:
        clients = tuple(
            stack.enter_context(open_node(address, operator_key(endpoint), timeout))
            for address in wanted
            if address.name not in unreachable
        )
        yield Nodes(clients, unreachable)


def _find_silence(endpoint: Endpoint, address: Address, timeout: float) -> RagopsError | None:
    """Return why the node does not answer, None if it does."""
    with open_http(address.url, operator_key(endpoint), min(timeout, _HELLO_SECONDS), address.name) as client:
        try:
            client.status("/healthz")
        except RagopsError as error:
            return error
    return None
