"""What health and `up` make of the layouts of collections."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from ragops.services.contract import Status
from ragops.services.qdrant.cluster import health, prepare
from ragops.services.qdrant.cluster.shards import Replica, ShardMap
from ragops.services.qdrant.shard_layout import LayoutRules
from tests.unit.services.qdrant.test_shard_layout import info


def seen(shards: int, copies: int) -> ShardMap:
    replicas = tuple(Replica(shard, peer + 1, "Active") for shard in range(shards) for peer in range(copies))
    return ShardMap(1, shards, replicas)


def found(layouts: dict[str, tuple[dict[str, Any], int]], rules: LayoutRules) -> Any:
    """The findings on collections, by name: what each is to have, and the copies that there are."""
    result = health._Found()
    for name, (described, copies) in layouts.items():
        shards = described["config"]["params"]["shard_number"]
        health._check_layout(name, seen(shards, copies), described, rules, result)
    return result


def test_a_collection_with_fewer_copies_than_it_wants_waits_for_up() -> None:
    check = health._check_replicas(found({"docs": (info(1, 3), 2)}, LayoutRules(3)), 2)
    assert (check.status, check.hint) == (Status.DEGRADED, "`ragops up` has the copies made")
    assert "docs" in check.detail


def test_one_that_was_made_with_a_single_copy_is_named_with_the_change() -> None:
    check = health._check_replicas(found({"docs": (info(1, 1), 1)}, LayoutRules(3)), 2)
    assert check.status is Status.DEGRADED
    assert "`ragops cluster set-replication docs 2`" in check.hint


def test_one_that_has_a_copy_on_every_node_is_to_have_them_on_new_nodes_too() -> None:
    everywhere = info(1, 3, ragops_copy_on_every_node=3)
    assert found({"docs": (everywhere, 3)}, LayoutRules(3)).unfilled == []
    assert found({"docs": (everywhere, 3)}, LayoutRules(5)).unfilled == ["docs"]
    assert found({"docs": (info(1, 3), 3)}, LayoutRules(5)).unfilled == [], "others keep what they have"


def test_a_collection_that_wants_more_copies_than_there_are_nodes_is_whole() -> None:
    assert found({"docs": (info(1, 5), 3)}, LayoutRules(3)).unfilled == []


def test_a_dear_layout_is_named_with_the_command_and_is_no_fault() -> None:
    result = found({"docs@2": (info(6, 2, 1000), 2), "good": (info(1, 3, 1000), 3)}, LayoutRules(3))
    (check,) = health._check_layouts(result)
    assert (check.name, check.status) == ("layout", Status.OK)
    assert check.detail.startswith("docs@2 has 6 shards in 2 copies for 1,000 points")
    assert "`ragops cluster reshard docs`" in check.hint
    assert list(health._check_layouts(found({"good": (info(1, 3, 1000), 3)}, LayoutRules(3)))) == []


def test_a_collection_whose_every_copy_has_to_take_a_write_is_named_and_is_no_fault() -> None:
    def made(copies: int, least: int) -> tuple[dict[str, Any], int]:
        described = info(1, copies)
        described["config"]["params"]["write_consistency_factor"] = least
        return described, copies

    result = found({"theirs": made(2, 2), "one": made(1, 1), "two": made(2, 1), "three": made(3, 2)}, LayoutRules(3))
    (check,) = health._check_strict(result)
    assert (check.name, check.status) == ("writes", Status.OK)
    assert check.detail.endswith("every copy has to take it: theirs")
    assert "write_consistency_factor" in check.hint
    assert list(health._check_strict(found({"two": made(2, 1)}, LayoutRules(3)))) == []


@dataclass
class Client:
    """A node with collections, and the changes that it was asked for."""

    collections: dict[str, dict[str, Any]]
    changes: list[tuple[str, str, Any]] = field(default_factory=list)

    def collection_names(self) -> list[str]:
        return [*self.collections]

    def collection(self, name: str) -> dict[str, Any]:
        return self.collections[name]

    def change(self, method: str, path: str, body: Any) -> None:
        self.changes.append((method, path, body))


def test_up_has_copies_follow_the_nodes_and_leaves_all_others() -> None:
    everywhere = info(1, 3, ragops_copy_on_every_node=3)
    client = Client({
        "docs": everywhere, "fixed": info(1, 3), "set": info(1, 2, ragops_copy_on_every_node=3), "old": info(6, 2),
        "docs__ragops-restore": info(1, 1, ragops_copy_on_every_node=1),
    })  # fmt: skip
    prepare._follow_nodes(client, 5)  # type: ignore[arg-type]
    factors = {"replication_factor": 5, "write_consistency_factor": 3}
    change = {"params": factors, "metadata": {"ragops_copy_on_every_node": 5}}
    assert client.changes == [("PATCH", "/collections/docs", change)]
    client.changes.clear()
    prepare._follow_nodes(client, 3)  # type: ignore[arg-type]
    assert client.changes == []


def test_settings_that_are_set_decide_on_the_least_copies() -> None:
    endpoint: Any = SimpleNamespace(nodes=(1, 2, 3), options={"replication_factor": "1"})
    rules = LayoutRules.of(endpoint)
    assert rules is not None
    assert found({"docs": (info(1, 1), 1)}, rules).few == []
