"""Which steps from one version of Qdrant to another are safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.errors import UsageError
from ragops.services.contract import VersionStep
from ragops.services.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_COST = "node by node, each one only when all replicas are active again: reads and writes continue"
# Since then nodes send the key to one another, and may ask for it (`enforce_internal_auth`).
_ASKS_NODES = (1, 18)
# The last patch of every minor version that is known here: each is passed through on the way up.
_LAST_PATCH = {(1, 16): "1.16.3", (1, 17): "1.17.1", (1, 18): "1.18.3"}


def check_upgrade(before: str, after: str) -> VersionStep:
    """Check a change of version: up by one minor at a time, through the last patch of each, and never back.

    The storage of a version is read by the next minor version and by none before (Qdrant documentation, "Upgrading").
    """
    was, becomes = Version.parse(before), Version.parse(after)
    if was is None or becomes is None:
        unknown = after if becomes is None else before
        return VersionStep(False, f"{unknown!r} is not a version of Qdrant", "name an image by a tag such as v1.18.3")
    if becomes < was:
        hint = f"keep {before}, or restore a recovery point of {after} into a new environment (`--env NAME`)"
        return VersionStep(False, f"Qdrant {after} does not read what {before} has written", hint)
    if becomes.line == was.line:
        return VersionStep(True, _COST)
    way = tuple(_way(was, becomes, after))
    if len(way) > 1:
        what = "Qdrant goes up one minor version at a time, through the last patch of each"
        steps = f"step by step: {', then '.join(way)}"
        return VersionStep(False, what, f"`ragops cluster upgrade` goes {steps}" if _are_known(way) else steps)
    return VersionStep(True, _COST)


def find_upgrade_path(before: str, after: str) -> tuple[str, ...]:
    """Return the versions to go through from `before` to `after`, the last one included; empty if they are the same.

    Raises UsageError (version_refused) if there is no way, or if one on it is not known to this release.
    """
    was, becomes = Version.parse(before), Version.parse(after)
    if was is None or becomes is None or becomes < was:
        step = check_upgrade(before, after)
        raise UsageError("version_refused", f"cannot upgrade qdrant from {before} to {after}: {step.detail}", step.hint)
    if was == becomes:
        return ()
    path = (after,) if becomes.line == was.line else tuple(_way(was, becomes, after))
    if not _are_known(path):
        what = f"cannot upgrade qdrant from {before} to {after}: this release does not know every version between them"
        hint = f"set `image:` in ragops.yaml to one after the other, each time with `ragops up`: {', then '.join(path)}"
        raise UsageError("version_refused", what, hint)
    return path


def _are_known(path: Iterable[str]) -> bool:
    return all(Version.parse(version) is not None for version in path)


def _way(was: Version, becomes: Version, after: str) -> Iterator[str]:
    """Return the versions to go through, as far as they are known by name, the last one included."""
    if (last := _LAST_PATCH.get(was.line)) and was < Version.of(last):
        yield last
    if becomes.major != was.major:
        yield f"the last {was.major}.x"
    else:
        for minor in range(was.minor + 1, becomes.minor):
            yield _LAST_PATCH.get((becomes.major, minor), f"the last {becomes.major}.{minor}")
    yield after


def asks_nodes(version: str) -> bool:
    """Return whether a node of the version can ask the others for the key, and sends it to them."""
    found = Version.parse(version)
    return found is not None and found.line >= _ASKS_NODES
