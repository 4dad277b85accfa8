"""The address of a service: its nodes, its logins and what its runtime can do to it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr


def _secret(text: str = "") -> SecretStr:
    from pydantic import SecretStr  # takes a tenth of a second to import, and `ragops --help` needs no password

    return SecretStr(text)


class Capability(StrEnum):
    """What an operation may do to a service beyond speaking its protocol."""

    RESTART = "can_restart"
    EXEC = "can_exec"
    READ_FILES = "can_read_files"


@dataclass(frozen=True)
class Login:
    """A user of a service; `secret` names the password in the secrets of the environment."""

    user: str
    secret: str
    password: SecretStr = field(default_factory=_secret)


@dataclass(frozen=True)
class Node:
    """One server of a cluster: its instance's name, and its URLs.

    `url` and `grpc_url` are those of this machine, `internal_url` and `internal_grpc_url` those of the other services;
    empty if there is no such port, or no other address.
    """

    name: str
    url: str
    grpc_url: str = ""
    internal_url: str = ""
    internal_grpc_url: str = ""


# Options of earlier releases that held one value of each node, separated by commas, and the fields that they became.
_NODE_OPTIONS = {
    "nodes": "name",
    "urls": "url",
    "grpc_urls": "grpc_url",
    "inner_urls": "internal_url",
    "inner_grpc_urls": "internal_grpc_url",
}


@dataclass(frozen=True)
class Endpoint:
    """How to reach a service: one output of the stack.

    `runtime_id` is how the runtime finds it (a run folder, a container's name); `version` is the provisioned one.
    `inner_host` and `inner_port` are the address for the other services, if it differs.
    `logins` has the roles `operator` (ragops itself) and `application` (the RAG services).
    `nodes` are the servers of a cluster, in their order; empty for a service that is one server.
    """

    service: str
    engine: str
    version: str
    runtime: str
    host: str
    port: int
    runtime_id: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    logins: Mapping[str, Login] = field(default_factory=dict)
    capabilities: frozenset[Capability] = frozenset()
    inner_host: str = ""
    inner_port: int = 0
    nodes: tuple[Node, ...] = ()

    @property
    def instances(self) -> tuple[str, ...]:
        """The names of its instances: the nodes, those of the option `instances`, else the service itself."""
        listed = tuple(name for name in self.options.get("instances", "").split(",") if name)
        return tuple(node.name for node in self.nodes) or listed or (self.service,)

    @property
    def internal_address(self) -> tuple[str, int]:
        """Host and port for the other services."""
        return self.inner_host or self.host, self.inner_port or self.port

    def can(self, capability: Capability) -> bool:
        """Return whether an operation may use `capability` on this service."""
        return capability in self.capabilities

    @property
    def files_here(self) -> bool:
        """Whether the paths that the server names are this machine's, not those inside an image."""
        return self.can(Capability.READ_FILES) and not self.inner_host

    def to_dict(self) -> dict[str, Any]:
        """Return the endpoint as JSON values, without any password."""
        return {
            "service": self.service,
            "engine": self.engine,
            "version": self.version,
            "runtime": self.runtime,
            "host": self.host,
            "port": self.port,
            "handle": self.runtime_id,
            "options": dict(self.options),
            "logins": {role: {"user": login.user, "secret": login.secret} for role, login in self.logins.items()},
            "capabilities": sorted(self.capabilities),
            "inner_host": self.inner_host,
            "inner_port": self.inner_port,
            "nodes": [asdict(node) for node in self.nodes],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], secrets: Mapping[str, str]) -> Endpoint:
        """Build an endpoint from `to_dict`'s values, those of earlier releases included, with passwords from `secrets`.

        Raises KeyError if a secret or a field is missing, TypeError or ValueError for values of another form.
        """
        logins = {
            role: Login(login["user"], login["secret"], _secret(secrets[login["secret"]]))
            for role, login in values["logins"].items()
        }
        fields = {name: value for name, value in values.items() if name != "handle"} | {
            "runtime_id": values.get("handle", ""),
            "port": int(values["port"]),
            "logins": logins,
            "capabilities": frozenset(Capability(name) for name in values["capabilities"]),
            "options": {name: text for name, text in values["options"].items() if name not in _NODE_OPTIONS},
            "nodes": _nodes(values),
        }
        return cls(**fields)


def _nodes(values: Mapping[str, Any]) -> tuple[Node, ...]:
    """Return the nodes of an endpoint, whether they have a field of their own or are options of an earlier release."""
    if "nodes" in values:
        return tuple(Node(**node) for node in values["nodes"])
    options = values["options"]
    if not options.get("nodes"):
        return ()
    columns = [[text for text in options.get(name, "").split(",") if text] for name in _NODE_OPTIONS]
    rows = zip_longest(*columns, fillvalue="")
    return tuple(Node(**dict(zip(_NODE_OPTIONS.values(), row, strict=True))) for row in rows)
