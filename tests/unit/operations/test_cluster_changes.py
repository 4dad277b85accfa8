"""Changes of a cluster, and each request of them as the place where the run is killed and run again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.progress import ignore_progress
from ragops.cli.cluster_plans import describe_steps
from ragops.config.edit import edit_text
from ragops.config.load import load
from ragops.errors import IntegrityError, InterruptedRunError, RagopsError, UnhealthyError, UsageError
from ragops.operations.cluster import moves, nodes, repair, replace_node, status
from ragops.operations.cluster.moves import change, move_shard, plan_change, rebalance, set_replication
from ragops.services import by_name
from ragops.services.qdrant.cluster import changes, membership, replica_compare, shard_order
from ragops.services.qdrant.cluster.shard_order import Limits, Pace
from tests.cluster_platform import CONFIG, again, open_session, write_endpoints
from tests.simulated_cluster import KilledError, SimulatedCluster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ragops.operations.session import Session

PACE = Pace(limits=Limits(settle=5, away=5, recover=5))


class Host:
    """The containers of the nodes."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self.cluster, self.aside = cluster, list[str]()

    def control(self, _endpoint: Any, instance: str = "") -> Any:
        return Container(self, instance)


class Container:
    def free_bytes(self) -> int:
        return 1 << 30

    def __init__(self, host: Host, name: str) -> None:
        self.host, self.name, self.cluster = host, name, host.cluster

    def stop(self) -> None:
        self.cluster.request()
        self.cluster.away.add(self.name)

    def move_data_aside(self, label: str) -> str:
        assert self.name in self.cluster.away
        self.cluster.request()
        if self.name not in self.cluster.names.values():
            raise RagopsError("not_provisioned", "there is no container")
        self.host.aside.append(f"{self.name}.{label}")
        return f"{self.name}.{label}"

    def start(self) -> None:
        self.cluster.request()
        peer = next((peer for peer, name in self.cluster.names.items() if name == self.name), 0)
        if peer not in self.cluster.members or self.name in self.cluster.away:
            self.cluster.join(self.name)

    def remove(self) -> None:
        self.cluster.names = {peer: name for peer, name in self.cluster.names.items() if name != self.name}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (changes, membership, shard_order):
        monkeypatch.setattr(module, "_POLL", 0.0)
    monkeypatch.setattr(shard_order, "_SEEN_SECONDS", 0.0)
    monkeypatch.setattr(replica_compare, "PAUSES", (0.0,))


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[SimulatedCluster], Session]:
    """A session on a simulated cluster; may be asked for several times."""

    def make(cluster: SimulatedCluster) -> Session:
        for module in (changes, membership, shard_order, status):
            monkeypatch.setattr(module, "connect", cluster.connect)

        def provision(session: Session, *_: object) -> None:
            cluster.request()
            wanted = session.project.settings.qdrant.nodes
            for number in range(1, wanted + 1):
                if f"qdrant-{number}" not in cluster.names.values() or f"qdrant-{number}" in cluster.away:
                    cluster.join(f"qdrant-{number}")
            cluster.request()
            write_endpoints(session.project.paths.endpoints, cluster.endpoint(wanted))
            cluster.request()

        for module in (nodes, replace_node):
            monkeypatch.setattr(module, "provision", provision)
        monkeypatch.setattr(nodes, "open_existing", lambda *_: SimpleNamespace(unprotect=cluster.request))
        monkeypatch.setattr(by_name("qdrant"), "prepare", lambda _endpoint: None)
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        root.mkdir()
        return open_session(root, cluster.endpoint(len(cluster.names)), Host(cluster), monkeypatch)

    return make


# --- one after the other ---------------------------------------------------------------------------------------------


def spread() -> SimulatedCluster:
    """Two collections on three of five nodes."""
    cluster = SimulatedCluster.of(5)
    cluster.fill("docs", 2, "12", "23", "13", "12", "23", "13")
    cluster.fill("wiki", 3, "123", points=900)
    return cluster


def run_rebalance(session: Session) -> Any:
    return change(session, rebalance(), None, ignore_progress, PACE)


def run_replication(session: Session) -> Any:
    return change(session, set_replication("docs", 3), None, ignore_progress, PACE)


def run_move(session: Session) -> Any:
    return change(session, move_shard("docs", 0, "qdrant-1", "qdrant-5"), None, ignore_progress, PACE)


def run_replace(session: Session) -> Any:
    return replace_node.replace_node(session, "qdrant-2", None, ignore_progress, PACE)


def run_add(session: Session) -> Any:
    return nodes.add_nodes(session, None, None, None, ignore_progress, PACE)


def run_remove(session: Session) -> Any:
    return nodes.remove_nodes(session, None, None, None, ignore_progress, PACE)


def run_repair(session: Session) -> Any:
    return repair.repair(session, (), None, ignore_progress, PACE, deep=False)


RUNS = [run_rebalance, run_replication, run_move, run_replace, run_add, run_remove, run_repair]


def test_a_rebalance_moves_to_the_new_nodes_what_they_lack(begin: Any) -> None:
    cluster = spread()
    result = run_rebalance(begin(cluster))
    assert [step.action for step in result.plan.steps] == ["move"] * result.done
    counts = [sum(node in on for on in cluster.where("docs")) for node in "12345"]
    assert sorted(counts) == [2, 2, 2, 3, 3]
    assert set(cluster.lowest.values()) == {2, 3}


def test_a_plan_changes_nothing(begin: Any) -> None:
    cluster = spread()
    session = begin(cluster)
    before = cluster.where("docs")
    found = plan_change(session, rebalance())
    assert found.steps
    assert (cluster.where("docs"), cluster.changes) == (before, [])
    assert session.cluster_journal().read() is None


def test_the_number_of_replicas_is_changed_in_the_collection_as_well(begin: Any) -> None:
    cluster = spread()
    session = begin(cluster)
    found = run_replication(session)
    assert found.plan.factors == {"docs": 3}
    assert cluster.collections["docs"].factor == 3
    assert all(len(on) == 3 for on in cluster.where("docs"))
    change(session, set_replication("docs", 2), None, ignore_progress, PACE)
    assert (cluster.collections["docs"].factor, {len(on) for on in cluster.where("docs")}) == (2, {2})
    assert min(cluster.lowest.values()) == 2


def test_the_question_before_one_replica_names_the_risk(begin: Any) -> None:
    session = begin(spread())
    risk = "the loss of a node loses shards of docs"
    assert risk in describe_steps(plan_change(session, set_replication("docs", 1)))
    assert risk not in describe_steps(plan_change(session, set_replication("docs", 3)))


def test_a_shard_is_moved(begin: Any) -> None:
    cluster = spread()
    run_move(begin(cluster))
    assert cluster.where("docs")[0] == "25"
    assert cluster.changes == ["move_shard docs/0 101 105"]


def test_a_node_is_emptied_before_it_is_replaced(begin: Any) -> None:
    cluster = spread()
    session = begin(cluster)
    result = run_replace(session)
    assert result.plan.answers
    assert result.kept == "qdrant-2.before-replacement"
    assert 102 not in cluster.members
    assert min(cluster.lowest.values()) == 2
    assert any("2" in on for on in cluster.where("docs")), "it gets its share again"


def test_a_dead_node_is_replaced_and_filled_again(begin: Any) -> None:
    cluster = SimulatedCluster.of(3)
    cluster.fill("docs", 2, "12", "23", "13")
    cluster.away.add("qdrant-2")
    result = run_replace(begin(cluster))
    assert not result.plan.answers
    assert cluster.where("docs") == ["12", "23", "13"]
    assert cluster.changes[0] == "remove 102"


def test_a_dead_node_with_the_only_replica_of_a_shard_is_not_replaced(begin: Any) -> None:
    cluster = SimulatedCluster.of(3)
    cluster.fill("docs", 1, "1", "2", "3")
    cluster.away.add("qdrant-2")
    with pytest.raises(IntegrityError, match="shard 1 of docs has no active replica elsewhere, only on qdrant-2"):
        run_replace(begin(cluster))
    assert cluster.changes == []


def test_two_nodes_are_added_and_get_their_share(begin: Any) -> None:
    cluster = SimulatedCluster.of(3)
    cluster.fill("docs", 2, "12", "23", "13", "12", "23", "13")
    session = begin(cluster)
    found = nodes.plan_more(session, None)
    assert (found.before, found.after, found.nodes) == (3, 5, ("qdrant-4", "qdrant-5"))
    result = run_add(session)
    assert {step.target for step in result.plan.change.steps} == {"qdrant-4", "qdrant-5"}
    assert session.project.config.read_text() == CONFIG.format(nodes=5)
    assert [sum(node in on for on in cluster.where("docs")) for node in "45"] == [2, 2]


def test_two_nodes_are_removed_after_their_shards_have_moved(begin: Any) -> None:
    cluster = SimulatedCluster.of(5)
    cluster.fill("docs", 2, "45", "15", "24")
    cluster.fill("health", 5, "12345")
    session = begin(cluster)
    result = run_remove(session)
    assert cluster.members == {101, 102, 103}
    assert all(set(on) <= set("123") for on in cluster.where("docs"))
    assert (cluster.where("health"), cluster.collections["health"].factor) == (["123"], 3)
    assert min(cluster.lowest.values()) == 2
    assert session.project.config.read_text() == CONFIG.format(nodes=3)
    assert result.kept == ("qdrant-4.before-removal", "qdrant-5.before-removal")
    assert len(session.endpoint("qdrant").nodes) == 3


def test_a_removal_that_is_repeated_does_not_go_down_to_one_copy(begin: Any) -> None:
    cluster = SimulatedCluster.of(3)
    cluster.fill("docs", 3, "123")
    session = begin(cluster)
    with pytest.raises(UsageError, match="one would be left, with the only copy of everything") as caught:
        run_remove(session)
    assert (caught.value.hint, cluster.changes) == ("if that is meant: `--nodes 1`", [])
    assert nodes.plan_fewer(session, 1).after == 1


def test_a_node_that_an_interrupted_run_has_started_is_named_with_the_way_out(begin: Any) -> None:
    cluster = SimulatedCluster.of(5)
    cluster.fill("docs", 3, "123")
    session = begin(cluster)
    write_endpoints(session.project.paths.endpoints, cluster.endpoint(3))
    with pytest.raises(UnhealthyError, match="qdrant-4 is none of the nodes that ragops has noted") as caught:
        run_rebalance(session)
    assert "`ragops up` completes" in caught.value.hint


def test_adding_nodes_shows_the_copies_that_up_makes(begin: Any) -> None:
    cluster = SimulatedCluster.of(3)
    cluster.fill("docs", 3, "123")
    cluster.fill("wiki", 2, "12")
    cluster.collections["docs"].on_every_node = True
    change_plan = nodes.plan_more(begin(cluster), None).change
    assert change_plan.factors == {"docs": 5}
    copies = [(step.collection, step.target) for step in change_plan.steps if step.action == "copy"]
    assert copies == [("docs", "qdrant-4"), ("docs", "qdrant-5")]
    assert cluster.changes == []


def test_replicas_that_a_majority_contradicts_are_made_again(begin: Any) -> None:
    cluster = divergent()
    session = begin(cluster)
    planned = repair.plan(session, (), ignore_progress, deep=False)
    assert [(step.action, step.shard, step.source, step.target) for step in planned.change.steps] == [
        ("drop", 0, "qdrant-3", ""), ("copy", 0, "qdrant-1", "qdrant-3"),
        ("drop", 1, "qdrant-3", ""), ("copy", 1, "qdrant-4", "qdrant-3"),
    ]  # fmt: skip
    assert cluster.changes == []
    result = run_repair(session)
    assert (result.done, result.after.differing) == (4, ())
    assert cluster.where("docs") == ["123", "345", "125"]
    assert [len(each) for each in contents(cluster)] == [1, 1, 1]
    assert min(cluster.lowest.values()) == 2
    assert run_repair(session).plan.change.is_empty


def test_two_replicas_that_differ_are_left_alone(begin: Any) -> None:
    cluster = SimulatedCluster.of(3)
    cluster.fill("docs", 2, "12", "23")
    cluster.collections["docs"].shards[1].odd[102] = {1: "another"}
    result = run_repair(begin(cluster))
    assert result.plan.change.blocked == (
        "docs/1: its two replicas differ, and nothing shows which of them is right",
    )  # fmt: skip
    assert (result.done, cluster.changes) == (0, [])


def test_what_differs_in_each_of_three_replicas_is_left_alone(begin: Any) -> None:
    cluster = SimulatedCluster.of(3)
    cluster.fill("docs", 3, "123")
    cluster.collections["docs"].shards[0].odd = {101: {1: "one"}, 102: {1: "two"}}
    found = repair.plan(begin(cluster), (), ignore_progress, deep=False)
    assert found.change.blocked == ("docs/0: no majority of its replicas agrees",)
    assert found.change.is_empty


def test_a_repair_declined_changes_nothing(begin: Any) -> None:
    cluster = divergent()
    session = begin(cluster)
    with pytest.raises(InterruptedRunError):
        repair.repair(session, (), lambda _found: False, ignore_progress, PACE, deep=False)
    assert cluster.changes == []
    assert session.cluster_journal().read() is None


@pytest.mark.parametrize("wanted", [4, 6, 0])
def test_an_even_number_of_nodes_is_refused(begin: Any, wanted: int) -> None:
    session = begin(spread())
    for plan in (nodes.plan_more, nodes.plan_fewer):
        with pytest.raises(UsageError, match="cannot change the number of nodes"):
            plan(session, wanted)


# --- killed at every request, and run again --------------------------------------------------------------------------


def picture(cluster: SimulatedCluster) -> Any:
    """What there is at the end, by names: peers of new nodes are other numbers each time."""
    return (
        {name: (one.factor, cluster.where(name)) for name, one in cluster.collections.items()},
        sorted(cluster.names[peer] for peer in cluster.members),
    )


def divergent() -> SimulatedCluster:
    """On node 3 a replica lacks a change and another has one that no other node has; the third shard is as it was."""
    cluster = SimulatedCluster.of(5)
    cluster.fill("docs", 3, "123", "345", "125")
    cluster.collections["docs"].shards[0].odd[103] = {4: "before the change"}
    cluster.collections["docs"].shards[1].odd[103] = {77: "never written"}
    return cluster


def contents(cluster: SimulatedCluster) -> list[list[dict[int, str]]]:
    """What the replicas of each shard of `docs` hold, each content once."""
    shards = cluster.collections["docs"].shards.values()
    return [list({str(one): one for one in map(shard.content, shard.states)}.values()) for shard in shards]


def fresh(run: Any) -> SimulatedCluster:
    if run is run_repair:
        return divergent()
    if run is not run_add:
        return spread()
    cluster = SimulatedCluster.of(3)
    cluster.fill("docs", 2, "12", "23", "13", "12", "23", "13")
    return cluster


PARTS = 10


@pytest.mark.fault
@pytest.mark.campaign(sample=6)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("run", RUNS)
def test_a_run_that_is_killed_at_any_request_is_continued_to_the_same_end(run: Any, part: int, begin: Any) -> None:
    whole = fresh(run)
    run(begin(whole))
    wanted = picture(whole)
    last = whole.requests
    assert last > 10
    for dies_at in range(1 + part, last + 1, PARTS):
        cluster = fresh(run)
        session = begin(cluster)
        cluster.dies_at = dies_at
        with pytest.raises(KilledError):
            run(session)
        run(again(session))
        assert picture(cluster) == wanted, f"killed at request {dies_at} of {last}"
        assert run is not run_repair or [len(each) for each in contents(cluster)] == [1, 1, 1]
        assert session.cluster_journal().read() is None
        assert min(cluster.lowest.values()) == 2, f"killed at request {dies_at} of {last}"


def test_a_run_killed_twice_goes_to_the_same_end(begin: Any) -> None:
    whole = fresh(run_replace)
    run_replace(begin(whole))
    for first, second in [(20, 5), (60, 30), (90, 10)]:
        cluster = fresh(run_replace)
        session = begin(cluster)
        for later in (first, second):
            cluster.dies_at = cluster.requests + later
            with pytest.raises(KilledError):
                run_replace(again(session))
        run_replace(again(session))
        assert picture(cluster) == picture(whole)


# --- what stands in the way ------------------------------------------------------------------------------------------


def test_another_change_is_refused_until_the_interrupted_one_is_done_or_given_up(begin: Any) -> None:
    cluster = spread()
    session = begin(cluster)
    cluster.dies_at = 40
    with pytest.raises(KilledError):
        run_replication(session)
    with pytest.raises(UsageError) as refused:
        run_rebalance(session)
    assert refused.value.code == "cluster_change_pending"
    assert status.status(session).pending == "ragops cluster set-replication docs 3"
    assert "`ragops cluster set-replication docs 3`" in refused.value.hint
    assert moves.cancel(session) == "ragops cluster set-replication docs 3"
    run_rebalance(session)
    assert moves.cancel(session) == ""


def test_an_aborted_transfer_is_begun_again(begin: Any) -> None:
    cluster = spread()
    cluster.aborts = 2
    run_move(begin(cluster))
    assert cluster.where("docs")[0] == "25"
    assert len(cluster.changes) == 3


def test_a_transfer_that_is_aborted_each_time_ends_the_run(begin: Any) -> None:
    cluster = spread()
    cluster.aborts = 99
    with pytest.raises(UnhealthyError, match="cannot move docs/0 from qdrant-1 to qdrant-5: it was aborted 3 times"):
        run_move(begin(cluster))
    assert cluster.where("docs")[0] == "12"


def test_a_copy_that_is_aborted_is_made_by_the_cluster_itself(begin: Any) -> None:
    cluster = spread()
    cluster.aborts = 3
    run_replication(begin(cluster))
    assert all(len(on) == 3 for on in cluster.where("docs"))


def test_a_transfer_of_others_is_waited_for(begin: Any) -> None:
    cluster = spread()
    cluster.order("docs", {"move_shard": {"shard_id": 0, "from_peer_id": 101, "to_peer_id": 104}})
    run_rebalance(begin(cluster))
    assert "4" in cluster.where("docs")[0]


def test_a_node_that_dies_during_a_change_ends_it_and_the_next_run_continues(begin: Any) -> None:
    cluster = spread()
    session = begin(cluster)

    def lose_one() -> None:
        if len(cluster.changes) == 2:
            cluster.away.add("qdrant-4")

    cluster.on_tick = lose_one
    quick = Pace(limits=Limits(settle=0.2, away=0.2, recover=0.2))
    with pytest.raises(UnhealthyError) as failed:
        change(session, rebalance(), None, ignore_progress, quick)
    assert failed.value.code in ("qdrant_node_down", "qdrant_not_active")
    with pytest.raises(UnhealthyError, match="qdrant-4 does not take part"):
        run_rebalance(again(session))
    cluster.on_tick = lambda: None
    cluster.away.clear()
    run_rebalance(again(session))
    assert sorted(sum(node in on for on in cluster.where("docs")) for node in "12345") == [2, 2, 2, 3, 3]


def test_a_collection_that_is_deleted_during_a_change_is_left_out(begin: Any) -> None:
    cluster = spread()

    def delete() -> None:
        if cluster.changes and "docs" in cluster.collections:
            del cluster.collections["docs"]

    cluster.on_tick = delete
    run_rebalance(begin(cluster))
    assert cluster.where("wiki") == ["123"]


def test_a_collection_that_is_made_during_a_rebalance_is_spread_too(begin: Any) -> None:
    cluster = spread()

    def make() -> None:
        if len(cluster.changes) == 1 and "new" not in cluster.collections:
            cluster.fill("new", 2, "12", "12")

    cluster.on_tick = make
    run_rebalance(begin(cluster))
    assert {node for on in cluster.where("new") for node in on} > {"1", "2"} or cluster.where("new") == ["12", "12"]
    assert max(sum(node in on for on in cluster.where("new")) for node in "12345") <= 1


def test_no_is_an_answer(begin: Any) -> None:
    cluster = spread()

    def refuse(_plan: Any) -> bool:
        return False

    with pytest.raises(InterruptedRunError):
        change(begin(cluster), rebalance(), refuse, ignore_progress, PACE)
    assert cluster.changes == []


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (rebalance("nothing"), "unknown_collection"),
        (set_replication("docs", 6), "too_few_nodes"),
        (set_replication("docs", 0), "too_few_nodes"),
        (move_shard("docs", 0, "qdrant-3", "qdrant-5"), "shard_not_there"),
        (move_shard("docs", 0, "qdrant-1", "qdrant-2"), "shard_not_there"),
        (move_shard("docs", 9, "qdrant-1", "qdrant-5"), "shard_not_there"),
        (move_shard("docs", 0, "qdrant-1", "qdrant-9"), "unknown_node"),
    ],
)
def test_what_is_not_possible_is_refused(begin: Any, request_: Any, code: str) -> None:
    cluster = spread()
    with pytest.raises(UsageError) as refused:
        change(begin(cluster), request_, None, ignore_progress, PACE)
    assert (refused.value.code, cluster.changes) == (code, [])


def test_an_interrupted_upgrade_comes_first(begin: Any) -> None:
    session = begin(spread())
    session.upgrade_journal().begin("1.17.1", "1.18.3", "")
    with pytest.raises(UsageError, match="an upgrade was interrupted"):
        run_rebalance(session)


# --- ragops.yaml -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("qdrant:\n  nodes: 3  # three\n  port: 6333\n", "qdrant:\n  nodes: 5  # three\n  port: 6333\n"),
        ("qdrant:   # vectors\n\n    port: 1\n", "qdrant:   # vectors\n    nodes: 5\n\n    port: 1\n"),
        ("name: x", "name: x\n\nqdrant:\n  nodes: 5\n"),
        ("qdrant:\r\n  nodes: 3\r\nb: 1\r\n", "qdrant:\r\n  nodes: 5\r\nb: 1\r\n"),
        ("x:\n  nodes: 7\nqdrant:\n  port: 1\n", "x:\n  nodes: 7\nqdrant:\n  nodes: 5\n  port: 1\n"),
        ("qdrant:\n  port: 1\ny:\n  nodes: 9\n", "qdrant:\n  nodes: 5\n  port: 1\ny:\n  nodes: 9\n"),
    ],
)  # fmt: skip
def test_one_number_is_edited_and_nothing_else(before: str, after: str) -> None:
    assert edit_text(before, "qdrant", "nodes", 5) == after


@pytest.mark.parametrize("text", ["qdrant: {nodes: 3}\n", "qdrant: &x\n  nodes: 3\n"])
def test_a_section_that_is_written_in_another_way_is_left(text: str) -> None:
    with pytest.raises(ValueError, match="not written as lines"):
        edit_text(text, "qdrant", "nodes", 5)


def test_a_variable_that_overrides_the_file_is_named(begin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = SimulatedCluster.of(3)
    session = begin(cluster)
    monkeypatch.setenv("RAGOPS__QDRANT__NODES", "3")
    with pytest.raises(UsageError, match="a variable RAGOPS__"):
        run_add(again(session))
    assert session.project.config.read_text() == CONFIG.format(nodes=3)
    assert load(session.project.config, None).settings.qdrant.nodes == 3
