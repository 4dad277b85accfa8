"""The steps of an upgrade, as a pure plan from the versions that the nodes report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ragops.services.qdrant.versions import asks_nodes, find_upgrade_path
from ragops.services.versions import Version

if TYPE_CHECKING:
    from collections.abc import Mapping


class UpgradeAction(StrEnum):
    """What a step does."""

    BACK_UP = "take a recovery point"
    UPDATE = "update"
    ENFORCE_KEY = "require the key between nodes"


@dataclass(frozen=True)
class UpgradeStep:
    """One step; every `node` is changed only when all replicas are active. A recovery point has no node."""

    action: UpgradeAction
    version: str
    node: str = ""


def plan_upgrade(
    versions: Mapping[str, str], target: str, *, before: str = "", has_point: bool = False
) -> tuple[UpgradeStep, ...]:
    """Return the steps that bring every node, one minor version after the other, to `target`; none if all are there.

    `versions` are those of the nodes in their order. `before` is the version at the beginning of an interrupted
    upgrade, `has_point` whether it took its recovery point. A node of 1.18 that requires the key from the others
    refuses older ones: that is switched on by a second restart of each, when the last node is new. Raises UsageError
    (version_refused).
    """
    oldest = min(versions.values(), key=Version.of)
    first = min(oldest, before or oldest, key=Version.of)
    steps = [
        UpgradeStep(UpgradeAction.UPDATE, version, node)
        for version in find_upgrade_path(oldest, target)
        for node, running in versions.items()
        if Version.of(running) < Version.of(version)
    ]
    if asks_nodes(target) and not asks_nodes(first):
        steps += [UpgradeStep(UpgradeAction.ENFORCE_KEY, target, node) for node in versions]
    if steps and not has_point:
        steps.insert(0, UpgradeStep(UpgradeAction.BACK_UP, oldest))
    return tuple(steps)
