"""Which steps from one version of Redis or Valkey to another are safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.services.versions import forward

if TYPE_CHECKING:
    from ragops.services.contract import VersionStep


def step(before: str, after: str) -> VersionStep:
    """Forward only: the format of RDB files grows with the server, and an older one refuses a newer file."""
    return forward(
        before, after, "it saves its data and restarts: the cache is away for some seconds, answers are slower"
    )
