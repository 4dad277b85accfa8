"""Which steps from one image of TimescaleDB to another are safe."""

from __future__ import annotations

import re

from ragops.services.contract import VersionStep
from ragops.services.versions import Version, backward

_MAJOR = re.compile(r"pg(\d+)")
_COST = "the database restarts: queries fail for some seconds, ingest repeats them; the extension is updated after it"


def step(before: str, after: str) -> VersionStep:
    """From one version to another, such as 2.19.3-pg17; a bare one is PostgreSQL's own.

    A server does not open the files of another major version (PostgreSQL documentation, "Upgrading a PostgreSQL
    Cluster"), and an extension has no way back (TimescaleDB documentation, "Upgrade").
    """
    old, new = _postgres(before), _postgres(after)
    if new < old:
        return backward(before, after)
    if new > old:
        return _major(old, new)
    if Version.of(after) < Version.of(before):
        return backward(before, after)
    return VersionStep(True, _COST)


def _postgres(version: str) -> int:
    found = _MAJOR.search(version)
    return int(found[1]) if found else Version.of(version).major


def _major(old: int, new: int) -> VersionStep:
    what = f"PostgreSQL {new} does not open the files of PostgreSQL {old}"
    way = (
        f"keep {old} here; `ragops backup run`, then set the new image in an overlay ragops.NAME.yaml with other ports,"
        " `ragops --env NAME up`, and restore the recovery point there"
    )
    return VersionStep(False, what, way)
