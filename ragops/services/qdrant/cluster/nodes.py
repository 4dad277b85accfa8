"""The nodes of an endpoint, and clients of those that answer."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.background import Job
from ragops.adapters.qdrant.client import Rest, opened
from ragops.errors import RagopsError, UnhealthyError
from ragops.services.qdrant.cluster.shards import ShardMap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.services.contract import Endpoint

_HELLO_SECONDS = 2.0


@dataclass(frozen=True)
class Address:
    """A node's name, and its URL as this machine reaches it."""

    name: str
    url: str


def addresses(endpoint: Endpoint) -> tuple[Address, ...]:
    """Every node of the endpoint, in its order; a server without nodes of names is called by its service."""
    urls = _listed(endpoint, "urls") or [f"http://{endpoint.host}:{endpoint.port}"]
    names = _listed(endpoint, "nodes")
    if len(names) != len(urls):
        names = [endpoint.service] if len(urls) == 1 else [f"node {number}" for number in range(1, len(urls) + 1)]
    return tuple(Address(name, url) for name, url in zip(names, urls, strict=True))


def is_cluster(endpoint: Endpoint) -> bool:
    """Whether the endpoint is a server that ragops runs as a cluster, be it of one node."""
    return bool(_listed(endpoint, "nodes"))


def key_of(endpoint: Endpoint) -> str:
    """The operator's key."""
    return endpoint.logins["operator"].password.get_secret_value()


def _listed(endpoint: Endpoint, option: str) -> list[str]:
    return [value for value in endpoint.options.get(option, "").split(",") if value]


@dataclass(frozen=True)
class Holding:
    """Where the shards of a collection lie; `clients` of the nodes that answer are by the number of their peer."""

    shards: ShardMap
    clients: dict[int, Rest]


@dataclass(frozen=True)
class Nodes:
    """Clients of the nodes that answer, at least one; `silent` are the errors of the others by their names."""

    clients: tuple[Rest, ...]
    silent: dict[str, RagopsError]

    @property
    def first(self) -> Rest:
        """The one that is asked where any will do."""
        return self.clients[0]

    def refuse_silent(self, purpose: str) -> None:
        """Raise UnhealthyError (qdrant_node_down) where a node does not answer; `purpose` says what needs them all."""
        for name, error in self.silent.items():
            what = f"{purpose} needs every node, and {error.message}"
            raise UnhealthyError("qdrant_node_down", what, f"`ragops up` starts {name}; see `ragops logs qdrant`")

    def holding(self, path: str) -> Holding:
        """The shards of the collection at `path`, as the first node knows them."""
        views = {client: ShardMap.of(client.get(f"{path}/cluster")) for client in self.clients}
        return Holding(views[self.first], {view.peer: client for client, view in views.items()})


@contextmanager
def connected(endpoint: Endpoint, timeout: float) -> Iterator[Nodes]:
    """Clients with the operator's key; every answer may take up to `timeout` seconds.

    Raises UnhealthyError (qdrant_unreachable) where no node answers.
    """
    wanted = addresses(endpoint)
    # No pool: the process would wait for its threads at the end, however long a node takes to say nothing.
    hellos = [Job(lambda one=one: _greeting(endpoint, one, timeout), "qdrant-hello") for one in wanted]  # type: ignore[misc]
    failures = [hello.result() for hello in hellos]
    silent = {address.name: error for address, error in zip(wanted, failures, strict=True) if error}
    if len(silent) == len(wanted):
        raise silent[wanted[0].name]
    with ExitStack() as stack:
        clients = tuple(
            stack.enter_context(opened(address.url, key_of(endpoint), timeout, address.name))
            for address in wanted
            if address.name not in silent
        )
        yield Nodes(clients, silent)


def _greeting(endpoint: Endpoint, address: Address, timeout: float) -> RagopsError | None:
    """Why the node does not answer, None where it does."""
    with opened(address.url, key_of(endpoint), min(timeout, _HELLO_SECONDS), address.name) as client:
        try:
            client.status("/healthz")
        except RagopsError as error:
            return error
    return None
