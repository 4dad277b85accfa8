"""Which steps from one version of Ollama to another are safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.services.versions import forward

if TYPE_CHECKING:
    from ragops.services.contract import VersionStep


def step(before: str, after: str) -> VersionStep:
    """Allow steps forward only."""
    return forward(before, after, "the models are away for some seconds: questions and ingest fail until then")
