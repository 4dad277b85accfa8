"""Values of the contract: endpoints as they are stored, and members that are imported late."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

from ragops.services import SERVICES
from ragops.services.contract import Capability, Endpoint, Lazy, Login, Node, Service

SECRETS = {"qdrant_api_key": "the key"}
# As the release before `nodes` wrote it for a cluster of two nodes.
EARLIER: dict[str, Any] = {
    "service": "qdrant", "engine": "qdrant", "version": "1.18.3", "runtime": "docker", "host": "127.0.0.1",
    "port": 6333, "handle": "rag-default-qdrant-1",
    "options": {
        "nodes": "qdrant-1,qdrant-2",
        "urls": "http://127.0.0.1:6333,http://127.0.0.1:6343",
        "grpc_urls": "http://127.0.0.1:6334,http://127.0.0.1:6344",
        "inner_urls": "http://qdrant-1:6333,http://qdrant-2:6333",
        "replication_factor": "2", "shard_number": "4",
    },
    "logins": {"operator": {"user": "", "secret": "qdrant_api_key"}},
    "capabilities": ["can_exec", "can_restart"], "inner_host": "qdrant-1", "inner_port": 6333,
}  # fmt: skip


def test_an_endpoint_of_the_earlier_release_has_the_same_nodes() -> None:
    found = Endpoint.from_dict(EARLIER, SECRETS)
    assert found.nodes == (
        Node("qdrant-1", "http://127.0.0.1:6333", "http://127.0.0.1:6334", "http://qdrant-1:6333"),
        Node("qdrant-2", "http://127.0.0.1:6343", "http://127.0.0.1:6344", "http://qdrant-2:6333"),
    )
    assert found.options == {"replication_factor": "2", "shard_number": "4"}
    assert found.runtime_id == "rag-default-qdrant-1"
    assert found.internal_address == ("qdrant-1", 6333)


def test_a_development_server_of_the_earlier_release_has_no_nodes() -> None:
    options = {"urls": "http://127.0.0.1:6333", "storage": "/data"}
    found = Endpoint.from_dict({**EARLIER, "options": options}, SECRETS)
    assert found.nodes == ()
    assert found.options == {"storage": "/data"}


def test_an_endpoint_reads_back_what_it_wrote_and_writes_no_password() -> None:
    found = Endpoint.from_dict(EARLIER, SECRETS)
    values = found.to_dict()
    assert "the key" not in str(values)
    again = Endpoint.from_dict(values, SECRETS)
    assert again == found
    assert again.logins["operator"].password.get_secret_value() == "the key"
    assert Login("a", "b").password.get_secret_value() == ""
    assert again.can(Capability.EXEC)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_every_late_member_is_there_and_takes_what_the_contract_passes(service: Service) -> None:
    arguments = {"step": 2, "declare": 2, "probe": 2, "prepare": 1, "check_update": 2, "before_update": 2,
                 "after_update": 2, "node_versions": 1, "mixed_nodes": 2, "instance_title": 2}  # fmt: skip
    late = {name for kind in type(service).__mro__ for name, value in vars(kind).items() if isinstance(value, Lazy)}
    members = {*arguments, "settings", "backup"}
    assert late <= members
    for name in members:
        member = getattr(service, name)
        assert callable(member)
        if name in arguments:
            inspect.signature(member).bind(*range(arguments[name]))
    assert importlib.import_module(service.settings.__module__)
