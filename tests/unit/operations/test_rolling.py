"""The order in which a cluster is changed; the cluster itself is told by two questions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ragops.adapters.pulumi.events import Action, Phase, Step
from ragops.errors import RagopsError
from ragops.operations.cluster import rolling_update
from ragops.operations.lifecycle import provision
from ragops.operations.lifecycle.plan_diff import Change
from ragops.runtimes.docker.facts import FACTS as DOCKER
from ragops.runtimes.docker.names import describe_resource, resources_of
from ragops.services.contract import Endpoint, Node
from ragops.services.qdrant.cluster import cluster as qdrant_cluster
from ragops.services.qdrant.settings import QdrantSettings

HOST = SimpleNamespace(facts=DOCKER, describe_resource=describe_resource, resources_of=resources_of)
NODES = ("qdrant-1", "qdrant-2", "qdrant-3")
CLUSTER = Endpoint(
    "qdrant", "qdrant", "1", "docker", "127.0.0.1", 6333,
    nodes=tuple(Node(name, f"http://{name}:6333") for name in NODES),
)  # fmt: skip


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens, in order."""
    happened: list[str] = []
    monkeypatch.setattr(qdrant_cluster, "wait_all_active", lambda _endpoint, _seconds: happened.append("all active"))
    return happened


def roll(done: list[str], monkeypatch: pytest.MonkeyPatch, *answering: str) -> None:
    monkeypatch.setattr(qdrant_cluster, "node_versions", lambda _endpoint: dict.fromkeys(answering, "1"))
    rolling_update.roll(CLUSTER, NODES, resources_of, lambda names: done.append(names[0]), lambda _progress: None)


def test_between_two_nodes_every_replica_is_active(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    roll(done, monkeypatch, *NODES)
    assert done == ["all active", "qdrant-1", "all active", "qdrant-2", "all active", "qdrant-3", "all active"]


def test_a_node_that_is_away_comes_first(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    roll(done, monkeypatch, "qdrant-1", "qdrant-2")
    assert done == ["qdrant-3", "all active", "qdrant-1", "all active", "qdrant-2", "all active"]


def test_where_no_node_answers_there_is_nothing_to_keep_available(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    roll(done, monkeypatch)

    def refuse(_endpoint: Endpoint) -> dict[str, str]:
        raise RagopsError("unreachable", "no node answers")

    monkeypatch.setattr(qdrant_cluster, "node_versions", refuse)
    rolling_update.roll(CLUSTER, NODES, resources_of, lambda names: done.append(names[0]), lambda _progress: None)
    assert done == []


def test_which_nodes_are_disturbed() -> None:
    changes = [
        Change("qdrant-3", Action.CREATE),
        Change("qdrant-1-config", Action.UPDATE),
        Change("qdrant-4", Action.CREATE),
        Change("redis", Action.REPLACE),
    ]
    assert rolling_update.affected_nodes(CLUSTER, resources_of, changes) == ("qdrant-1", "qdrant-3")
    assert rolling_update.affected_nodes(None, resources_of, changes) == ()


# --- nodes that ask one another for the key ---------------------------------------------------------------------------


def test_a_node_that_refuses_the_others_is_changed_before_they_are_waited_for(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qdrant_cluster, "node_versions", lambda _endpoint: dict.fromkeys(NODES, "1"))
    rolling_update.roll(
        CLUSTER, NODES, resources_of, lambda names: done.append(names[0]), lambda _progress: None, {"qdrant-2"}
    )
    assert done == ["qdrant-2", "all active", "qdrant-1", "all active", "qdrant-3", "all active"]


@pytest.mark.parametrize(
    ("running", "wanted", "mixed"),
    [
        (("1.17.1", "1.17.1", "1.17.1"), "1.18.3", frozenset()),
        (("1.18.3", "1.17.1", "1.17.1"), "1.18.3", {"qdrant-1"}),
        (("1.18.3", "1.18.3", "1.17.1"), "1.18.3", {"qdrant-1", "qdrant-2"}),
        (("1.18.3", "1.18.3", "1.18.3"), "1.18.3", None),
        (("1.18.3", "1.18.3", "1.18.3"), "1.19.0", None),
        (("1.16.3", "1.16.3", "1.16.3"), "1.17.1", None),
        ((), "1.18.3", None),
    ],
)
def test_which_clusters_are_mixed(
    monkeypatch: pytest.MonkeyPatch, running: tuple[str, ...], wanted: str, mixed: set[str] | None
) -> None:
    monkeypatch.setattr(qdrant_cluster, "node_versions", lambda _endpoint: dict(zip(NODES, running, strict=False)))
    assert qdrant_cluster.mixed_nodes(CLUSTER, wanted) == mixed


def replaced(node: str) -> Step:
    return Step(node, "docker:index/container:Container", Action.REPLACE, Phase.STARTED, {"image": 1}, {"image": 2})


class Nodes:
    """What a cluster and Pulumi's stacks of it come to: each node's version, and whether it asks the others."""

    def __init__(self, *nodes: tuple[str, bool]) -> None:
        self.nodes = dict(zip(NODES, nodes, strict=True))
        self.worst: list[str] = []

    def look(self) -> None:
        """A node that asks refuses those that send no key: they are no cluster."""
        asking = any(asks and version == "1.18.3" for version, asks in self.nodes.values())
        silent = any(version == "1.17.1" for version, _asks in self.nodes.values())
        if asking and silent:
            self.worst.append(f"{self.nodes}")

    def versions(self, _endpoint: Endpoint) -> dict[str, str]:
        return {node: version for node, (version, _asks) in self.nodes.items()}

    def stack(self, *_arguments: object, mixed: tuple[str, ...] = ()) -> Any:
        nodes_ask = "qdrant" not in mixed

        def preview() -> list[Step]:
            wanted = ("1.18.3", nodes_ask)
            return [replaced(node) for node, now in self.nodes.items() if now != wanted]

        def up(_on_step: object, resources: tuple[str, ...]) -> Any:
            self.nodes[resources[0]] = ("1.18.3", nodes_ask)
            self.look()
            return SimpleNamespace(steps=[replaced(resources[0])])

        return SimpleNamespace(preview=preview, up=up)


@pytest.mark.parametrize(
    "left",
    [
        (("1.17.1", True),) * 3,
        (("1.18.3", False), ("1.17.1", True), ("1.17.1", True)),
        (("1.18.3", False),) * 3,
        (("1.18.3", True), ("1.18.3", False), ("1.18.3", False)),
    ],
    ids=["first run", "killed on the way up", "killed before they ask", "killed on the way to asking"],
)
def test_no_node_asks_for_a_key_while_another_sends_none(
    monkeypatch: pytest.MonkeyPatch, left: tuple[tuple[str, bool], ...]
) -> None:
    cluster = _looked_ahead(monkeypatch, *left)
    assert set(cluster.nodes.values()) == {("1.18.3", True)}
    assert cluster.worst == []


def test_a_cluster_that_an_older_ragops_left_half_way_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = _looked_ahead(monkeypatch, ("1.18.3", True), ("1.17.1", True), ("1.17.1", True))
    assert set(cluster.nodes.values()) == {("1.18.3", True)}
    assert cluster.worst == []


def _looked_ahead(monkeypatch: pytest.MonkeyPatch, *left: tuple[str, bool]) -> Nodes:
    """The cluster after the part of `up` that changes it node by node."""
    nodes = Nodes(*left)
    monkeypatch.setattr(qdrant_cluster, "node_versions", nodes.versions)
    monkeypatch.setattr(qdrant_cluster, "node_versions", nodes.versions)
    monkeypatch.setattr(qdrant_cluster, "wait_all_active", lambda _endpoint, _seconds: nodes.look())
    monkeypatch.setattr(rolling_update, "open_stack", nodes.stack)
    section = QdrantSettings(image="qdrant/qdrant:v1.18.3")
    settings = SimpleNamespace(section=lambda _service: section, runtime="docker")
    session: Any = SimpleNamespace(
        project=SimpleNamespace(settings=settings), host=HOST, make_secrets=dict,
        endpoints=lambda: {"qdrant": CLUSTER},
    )  # fmt: skip
    provision._preview_and_confirm(session, nodes.stack(), (), None, lambda _progress: None)
    stack = nodes.stack()
    for step in stack.preview():  # what `up` does at its end: the rest, all at once
        stack.up(None, resources=(step.resource,))
    return nodes
