"""Upgrade of Qdrant: one minor version after the other, node by node, with a recovery point first."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ragops.adapters.files import SECRET_MODE, write_atomic
from ragops.adapters.progress import Progress
from ragops.errors import InterruptedRunError, RagopsError, UnhealthyError, UsageError
from ragops.operations.cluster.rolling_update import roll_cluster
from ragops.operations.lifecycle.plan_diff import changes
from ragops.operations.lifecycle.stack import open_stack
from ragops.operations.lifecycle.version_changes import VersionChange, save_before
from ragops.services import by_name
from ragops.services.qdrant.cluster.cluster import not_active
from ragops.services.qdrant.cluster.nodes import is_cluster
from ragops.services.qdrant.cluster.upgrade_plan import UpgradeAction, plan_upgrade
from ragops.services.qdrant.node import image_reference
from ragops.services.qdrant.versions import find_upgrade_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ragops.adapters.pulumi.events import OnStep
    from ragops.operations.records.upgrade_journal import UnfinishedUpgrade
    from ragops.operations.session import Session
    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.cluster.upgrade_plan import UpgradeStep

SERVICE = "qdrant"


@dataclass(frozen=True)
class UpgradePlan:
    """The versions of the nodes, the one that is wanted, and the steps to it; `resumes`: an upgrade was interrupted."""

    versions: Mapping[str, str]
    target: str
    steps: tuple[UpgradeStep, ...]
    resumes: bool = False


@dataclass(frozen=True)
class UpgradeResult:
    """What was done; `point` is the recovery point of the version before, empty if none was taken."""

    plan: UpgradePlan
    versions: Mapping[str, str]
    point: str


def plan(session: Session) -> UpgradePlan:
    """Return the steps from the versions that run to that of ragops.yaml.

    Raises UsageError (not_a_cluster; version_refused), UnhealthyError (qdrant_node_down) if a node does not answer.
    """
    endpoint = session.endpoint(SERVICE)
    if not is_cluster(endpoint):
        what = "cannot upgrade a cluster: the embedded runtime has one development server of Qdrant"
        raise UsageError("not_a_cluster", what, "a newer ragops has a newer one: upgrade ragops, then `ragops up`")
    service, settings = by_name(SERVICE), session.project.settings
    target = service.version(settings.section(SERVICE), session.host.facts.traits)
    left = session.upgrade_journal().read()
    resumes = left is not None and left.target == target
    versions = _versions(endpoint, left if resumes else None)
    steps = plan_upgrade(
        versions,
        target,
        before=left.before if left and resumes else "",
        has_point=bool(resumes and left and left.point),
    )
    return UpgradePlan(versions, target, steps, resumes)


def upgrade(session: Session, confirm: Callable[[UpgradePlan], bool] | None, on_step: OnStep) -> UpgradeResult:
    """Upgrade every node to the version of ragops.yaml; a run that was killed is continued by the next one.

    `confirm` is asked before anything changes; None means yes. Nothing but the nodes is changed: other differences
    from ragops.yaml stay for `up`. Raises as `plan`, UnhealthyError (qdrant_not_active) if a replica is not active
    before the first step, or does not become so between two; the nodes that follow stay as they are then.
    """
    with session.changing():
        found = plan(session)
        if not found.steps:
            session.upgrade_journal().end()
            return UpgradeResult(found, found.versions, "")
        endpoint = session.endpoint(SERVICE)
        if not found.resumes:
            _require_active(endpoint)
        stages = _stages(session, found)
        for stage in stages:
            stage.host.refuse_what_cannot_start()
        if confirm and not confirm(found):
            raise InterruptedRunError("declined", "nothing was changed", "")
        point = _back_up(session, found, on_step)
        for stage in stages:
            _roll_to(stage, endpoint, on_step)
        session.upgrade_journal().end()
        return UpgradeResult(found, _versions(endpoint), point)


def _versions(endpoint: Endpoint, left: UnfinishedUpgrade | None = None) -> dict[str, str]:
    """Return the version of every node, in their order.

    A node that an interrupted upgrade has left without a container counts as one that its stage has not changed yet.
    """
    found = by_name(SERVICE).node_versions(endpoint)
    if left and left.stage:
        way = [left.before, *find_upgrade_path(left.before, left.target)]
        former = way[max(way.index(left.stage) - 1, 0)] if left.stage in way else left.before
        found = {**{node.name: former for node in endpoint.nodes}, **found}
    for node in endpoint.nodes:
        if node.name not in found:
            what = f"cannot upgrade qdrant: {node.name} does not answer, and its version is unknown"
            hint = f"`ragops up` starts {node.name}, with the `image` that it had; see `ragops logs qdrant`"
            raise UnhealthyError("qdrant_node_down", what, hint)
    return {node.name: found[node.name] for node in endpoint.nodes}


def _require_active(endpoint: Endpoint) -> None:
    if faults := not_active(endpoint):
        what = f"cannot upgrade qdrant: {'; '.join(faults[:3])}"
        raise UnhealthyError("qdrant_not_active", what, "`ragops health qdrant` names what is missing, and what to do")


def _stages(session: Session, found: UpgradePlan) -> list[Session]:
    """Return a session for each version on the way, whose ragops.yaml would name it, the wanted one last."""
    passed = dict.fromkeys(step.version for step in found.steps if step.action is UpgradeAction.UPDATE)
    return [*(_session_of(session, version) for version in passed if version != found.target), session]


def _session_of(session: Session, version: str) -> Session:
    settings = session.project.settings
    section = settings.section(SERVICE)
    other = section.model_copy(update={"image": image_reference(section, version)})
    project = replace(session.project, settings=settings.model_copy(update={SERVICE: other}))
    return replace(session, project=project)


def _back_up(session: Session, found: UpgradePlan, on_step: OnStep) -> str:
    first = next(iter(found.versions.values()))
    taken = save_before(session, [VersionChange(SERVICE, first, found.target, True, "", "")], on_step)
    left = session.upgrade_journal().read()
    return taken or (left.point if left else "")


def _roll_to(session: Session, endpoint: Endpoint, on_step: OnStep) -> None:
    """Change the nodes to the version of this session, and note in the endpoints that they have it."""
    host = session.host
    stack = open_stack(session.project, session.make_secrets())
    host.prepare_up(on_step, lambda: {item.id for item in stack.resources()})
    version = by_name(SERVICE).version(session.project.settings.section(SERVICE), host.facts.traits)
    session.upgrade_journal().note_stage(version)
    on_step(Progress(SERVICE, f"to {version}"))
    previewed = changes(stack.preview(), describe=host.describe_resource)
    roll_cluster(session, stack, endpoint, previewed, on_step, single=True)
    reached = by_name(SERVICE).node_versions(endpoint)
    if behind := [f"{node} runs {now}" for node, now in reached.items() if now != version]:
        what = f"cannot upgrade qdrant to {version}: after its restart {', '.join(behind)}"
        raise RagopsError("version_differs", what, "check the image: its tag and its server are of other versions")
    host.record_provisioned()
    _note_version(session, version)


def _note_version(session: Session, version: str) -> None:
    path = session.project.paths.endpoints
    values = json.loads(path.read_text())
    values[SERVICE]["version"] = version
    write_atomic(path, json.dumps(values, indent=2), SECRET_MODE)
