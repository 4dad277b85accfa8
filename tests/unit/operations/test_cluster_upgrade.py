"""Upgrades of a cluster: the plan, and every step of it as the place where the run is killed and run again."""

from __future__ import annotations

import json
import random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.pulumi.events import Action, Phase, Step
from ragops.config.load import Project
from ragops.config.model import Settings
from ragops.config.paths import ProjectPaths
from ragops.errors import InterruptedRunError, RagopsError, UnhealthyError, UsageError
from ragops.operations import session as sessions
from ragops.operations.cluster import rolling_update, upgrade
from ragops.operations.lifecycle import version_changes
from ragops.operations.session import Session
from ragops.runtimes.docker.facts import FACTS as DOCKER
from ragops.runtimes.docker.names import describe_resource, resources_of
from ragops.services.contract import Check, Endpoint, Login, Node, ProbeResult, Status
from ragops.services.image_references import tag_version
from ragops.services.qdrant.cluster import cluster as qdrant_cluster
from ragops.services.qdrant.cluster.upgrade_plan import UpgradeAction, plan_upgrade
from ragops.services.qdrant.names import API_KEY_SECRET
from ragops.services.qdrant.service import QdrantService
from ragops.services.qdrant.versions import asks_nodes, find_upgrade_path
from ragops.services.versions import Version

if TYPE_CHECKING:
    from pathlib import Path

NODES = ("qdrant-1", "qdrant-2", "qdrant-3")
POINT = "20260101T000000Z-abcdef"
BACK_UP, UPDATE, ENFORCE = UpgradeAction.BACK_UP, UpgradeAction.UPDATE, UpgradeAction.ENFORCE_KEY


# --- the plan --------------------------------------------------------------------------------------------------------


def planned(running: tuple[str, ...], target: str, **more: Any) -> list[tuple[str, str, str]]:
    steps = plan_upgrade(dict(zip(NODES, running, strict=True)), target, **more)
    return [(step.action, step.version, step.node) for step in steps]


def test_one_minor_after_the_other_and_the_key_at_the_end() -> None:
    assert planned(("1.16.3",) * 3, "1.18.3") == [
        (BACK_UP, "1.16.3", ""),
        *((UPDATE, "1.17.1", node) for node in NODES),
        *((UPDATE, "1.18.3", node) for node in NODES),
        *((ENFORCE, "1.18.3", node) for node in NODES),
    ]


def test_a_patch_restarts_each_node_once() -> None:
    found = planned(("1.18.0",) * 3, "1.18.3")
    assert found == [(BACK_UP, "1.18.0", ""), *((UPDATE, "1.18.3", node) for node in NODES)]


def test_nothing_to_do() -> None:
    assert planned(("1.18.3",) * 3, "1.18.3") == []
    assert planned(("1.18.3",) * 3, "1.18.3", before="1.18.0", has_point=True) == []


def test_an_interrupted_one_goes_on_where_it_was() -> None:
    left = planned(("1.18.3", "1.17.1", "1.17.1"), "1.18.3", before="1.16.3", has_point=True)
    assert left == [
        *((UPDATE, "1.18.3", node) for node in NODES[1:]),
        *((ENFORCE, "1.18.3", node) for node in NODES),
    ]
    assert planned(("1.18.3",) * 3, "1.18.3", before="1.17.1", has_point=True) == [
        (ENFORCE, "1.18.3", node) for node in NODES
    ]


@pytest.mark.parametrize("seed", range(300))
def test_every_plan_keeps_the_rules(seed: int) -> None:
    """Nodes are never two minors apart, none goes back, each minor is passed, and the key comes last."""
    dice = random.Random(seed)
    known = ["1.16.0", "1.16.3", "1.17.0", "1.17.1", "1.18.0", "1.18.3"]
    target = dice.choice(known)
    path = [known[0], *find_upgrade_path(known[0], target)]
    older = dice.choice([version for version in path if Version.of(version) <= Version.of(target)])
    newer = next(iter(find_upgrade_path(older, target)), older)
    count = dice.choice((1, 3, 5))
    versions = {f"qdrant-{number}": dice.choice((older, newer)) for number in range(1, count + 1)}
    begun = dice.choice((older, path[0]))
    for step in plan_upgrade(versions, target, before=begun):
        if step.action is UPDATE:
            was, becomes = Version.of(versions[step.node]), Version.of(step.version)
            assert was < becomes
            assert becomes.minor - was.minor <= 1
            versions[step.node] = step.version
        minors = {Version.of(version).minor for version in versions.values()}
        assert max(minors) - min(minors) <= 1
        if step.action is ENFORCE:
            assert set(versions.values()) == {target}
            assert asks_nodes(target)
    assert set(versions.values()) == {target}


# --- the run ---------------------------------------------------------------------------------------------------------


class KilledError(BaseException):
    """The process is gone."""


class Fleet:
    """Nodes and Pulumi's stacks of them: `events` are what happened, `dies_at` is twice the number of the last one."""

    def __init__(self, *nodes: tuple[str, bool]) -> None:
        self.nodes = dict(zip(NODES, nodes, strict=True))
        self.events: list[str] = []
        self.dies_at = -1
        self.whole = True
        self.gone = set[str]()  # nodes whose container was removed, and not made again yet

    def happened(self, what: str, change: Any = lambda: None) -> None:
        """An event with its effect; the run dies before the effect, or right after it."""
        self.events.append(what)
        if 2 * len(self.events) == self.dies_at:
            raise KilledError
        change()
        if 2 * len(self.events) + 1 == self.dies_at:
            raise KilledError

    def versions(self, _endpoint: Endpoint) -> dict[str, str]:
        return {node: version for node, (version, _asks) in self.nodes.items() if node not in self.gone}

    def wait(self, _endpoint: Endpoint, _seconds: float) -> None:
        """A node that asks refuses those that send no key: they are no cluster, and never become whole."""
        asking = any(asks and asks_nodes(version) for version, asks in self.nodes.values())
        silent = any(not asks_nodes(version) for version, _asks in self.nodes.values())
        assert not (asking and silent), self.nodes
        if not self.whole:
            raise UnhealthyError("qdrant_not_active", "a replica is dead", "")

    def back_up(self, *_arguments: Any, **_named: Any) -> Any:
        assert len(set(self.versions(None).values())) == 1, "a recovery point of two versions"  # type: ignore[arg-type]
        self.happened("recovery point")
        return SimpleNamespace(point=SimpleNamespace(id=POINT))

    def stack(self, project: Project, _secrets: Any, mixed: tuple[str, ...] = ()) -> Any:
        image = project.settings.qdrant.image
        wanted = (tag_version(image) or "1.18.3", "qdrant" not in mixed)

        def preview() -> list[Step]:
            return [self.replaced(node) for node, now in self.nodes.items() if now != wanted or node in self.gone]

        def up(_on_step: object, resources: tuple[str, ...]) -> Any:
            node = resources[0]
            before, after = Version.of(self.nodes[node][0]), Version.of(wanted[0])
            assert (after.minor - before.minor) in (0, 1), "one minor at a time"
            self.gone.add(node)
            self.happened(f"{node} {wanted[0]}", lambda: self.nodes.__setitem__(node, wanted))
            self.gone.remove(node)
            return SimpleNamespace(steps=[self.replaced(node)])

        return SimpleNamespace(preview=preview, up=up, resources=lambda: ())

    @staticmethod
    def replaced(node: str) -> Step:
        kind = "docker:index/container:Container"
        return Step(node, kind, Action.REPLACE, Phase.STARTED, {"image": 1}, {"image": 2})


@pytest.fixture
def host() -> Any:
    return SimpleNamespace(
        facts=DOCKER, describe_resource=describe_resource, resources_of=resources_of,
        refuse_what_cannot_start=lambda: None, prepare_up=lambda *_arguments: None, record_provisioned=lambda: None,
        has_data=lambda _service: False, control=lambda _endpoint: None, image_pins=dict,
    )  # fmt: skip


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: Any) -> Session:
    monkeypatch.setattr(sessions, "host_of", lambda _project: host)
    values = {
        "name": "test",
        "runtime": "docker",
        "observability": False,
        "qdrant": {"image": "mirror:5000/qdrant:v1.18.3"},
    }
    config = tmp_path / "ragops.yaml"
    config.write_text(json.dumps(values))
    paths = ProjectPaths(tmp_path, "default")
    paths.secrets.parent.mkdir(parents=True)
    paths.secrets.write_text(json.dumps({API_KEY_SECRET: "key"}))
    endpoint = Endpoint(
        "qdrant", "qdrant", "1.16.3", "docker", "127.0.0.1", 6333, logins={"operator": Login("", API_KEY_SECRET)},
        nodes=tuple(Node(name, f"http://{name}:6333") for name in NODES),
    )  # fmt: skip
    paths.endpoints.parent.mkdir(parents=True)
    paths.endpoints.write_text(json.dumps({"qdrant": endpoint.to_dict()}))
    return Session(Project(Settings.model_validate(values), paths, config), "test", lambda _text: None)


@pytest.fixture
def attach(monkeypatch: pytest.MonkeyPatch) -> Any:
    def attached(fleet: Fleet) -> Fleet:
        monkeypatch.setattr(qdrant_cluster, "node_versions", fleet.versions)
        monkeypatch.setattr(qdrant_cluster, "wait_all_active", fleet.wait)
        monkeypatch.setattr(upgrade, "not_active", lambda _endpoint: () if fleet.whole else ("docs: not active",))
        monkeypatch.setattr(upgrade, "open_stack", fleet.stack)
        monkeypatch.setattr(rolling_update, "open_stack", fleet.stack)
        monkeypatch.setattr(version_changes.create, "run", fleet.back_up)
        probe = ProbeResult("qdrant", (Check("reachable", Status.OK, ""),), 0.1)
        monkeypatch.setattr(QdrantService, "probe", lambda *_: probe)
        return fleet

    return attached


def run(session: Session) -> upgrade.UpgradeResult:
    return upgrade.upgrade(session, None, lambda _progress: None)


def noted_version(session: Session) -> str:
    return str(json.loads(session.project.paths.endpoints.read_text())["qdrant"]["version"])


def test_from_1_16_to_1_18(session: Session, attach: Any) -> None:
    fleet = attach(Fleet(*[("1.16.3", True)] * 3))
    result = run(session)
    assert fleet.events == [
        "recovery point",
        *(f"{node} 1.17.1" for node in NODES),
        *(f"{node} 1.18.3" for node in NODES),
        *(f"{node} 1.18.3" for node in NODES),
    ]
    assert set(fleet.nodes.values()) == {("1.18.3", True)}
    assert result.point == POINT
    assert set(result.versions.values()) == {"1.18.3"}
    assert noted_version(session) == "1.18.3"
    assert session.upgrade_journal().read() is None
    assert run(session).plan.steps == ()


@pytest.mark.parametrize("place", range(2, 22))
def test_killed_at_any_step_and_run_again(session: Session, attach: Any, place: int) -> None:
    fleet = attach(Fleet(*[("1.16.3", True)] * 3))
    fleet.dies_at = place
    with pytest.raises(KilledError):
        run(session)
    if fleet.events != ["recovery point"]:
        assert upgrade.plan(session).resumes
    fleet.dies_at = -1
    run(session)
    assert set(fleet.nodes.values()) == {("1.18.3", True)}
    assert fleet.events.count("recovery point") <= (2 if place <= 3 else 1)
    assert len([event for event in fleet.events if event != "recovery point"]) <= 9 + 1
    assert noted_version(session) == "1.18.3"
    assert session.upgrade_journal().read() is None


def test_every_place_of_a_kill_was_one(session: Session, attach: Any) -> None:
    fleet = attach(Fleet(*[("1.16.3", True)] * 3))
    run(session)
    assert [2 * len(fleet.events), 2 * len(fleet.events) + 1] == [20, 21]


def test_a_cluster_that_is_not_whole_is_not_touched(session: Session, attach: Any) -> None:
    fleet = attach(Fleet(*[("1.17.1", True)] * 3))
    fleet.whole = False
    with pytest.raises(UnhealthyError, match="not active"):
        run(session)
    assert fleet.events == []


def test_a_refusal_changes_nothing(session: Session, attach: Any) -> None:
    fleet = attach(Fleet(*[("1.17.1", True)] * 3))
    with pytest.raises(InterruptedRunError):
        upgrade.upgrade(session, lambda _plan: False, lambda _progress: None)
    assert fleet.events == []
    assert session.upgrade_journal().read() is None


def test_a_recovery_point_that_cannot_be_taken_keeps_it_from_happening(
    session: Session, attach: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = attach(Fleet(*[("1.17.1", True)] * 3))

    def fail(*_arguments: Any, **_named: Any) -> Any:
        raise RagopsError("repository_unreachable", "it is away", "mount it")

    monkeypatch.setattr(version_changes.create, "run", fail)
    with pytest.raises(RagopsError, match="it is away"):
        run(session)
    assert fleet.events == []
    assert session.upgrade_journal().read() is None


def test_a_node_that_does_not_answer_is_named(session: Session, attach: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    attach(Fleet(*[("1.17.1", True)] * 3))
    monkeypatch.setattr(qdrant_cluster, "node_versions", lambda _endpoint: {"qdrant-1": "1.17.1", "qdrant-3": "1.17.1"})
    with pytest.raises(UnhealthyError) as caught:
        upgrade.plan(session)
    assert "qdrant-2" in caught.value.message
    assert "`ragops up`" in caught.value.hint


def test_an_image_whose_server_is_another_than_its_tag_says(session: Session, attach: Any) -> None:
    fleet = attach(Fleet(*[("1.17.1", True)] * 3))
    fleet.stack = lambda *_arguments, **_named: SimpleNamespace(  # type: ignore[method-assign]
        preview=lambda: [fleet.replaced(node) for node in NODES],
        up=lambda _on_step, resources: SimpleNamespace(steps=[fleet.replaced(resources[0])]),
        resources=lambda: (),
    )
    attach(fleet)
    with pytest.raises(RagopsError) as caught:
        run(session)
    assert caught.value.code == "version_differs"


def test_an_older_target_is_refused(session: Session, attach: Any) -> None:
    attach(Fleet(*[("1.19.0", True)] * 3))
    with pytest.raises(UsageError, match="does not read"):
        upgrade.plan(session)
