"""Which steps from one version of the gateway to another are safe."""

from __future__ import annotations

from ragops.services.contract import VersionStep


def step(_before: str, after: str) -> VersionStep:
    """Allow any: it has no data of its own."""
    return VersionStep(True, f"the gateway restarts as {after}: requests fail for a moment")
