"""How text becomes vectors: one protocol, shared by ingest and the API so that both speak of the same space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

Vector = list[float]


class Embedder(Protocol):
    """Turns text into vectors of one length; `name` is recorded with what was made with it."""

    @property
    def name(self) -> str:
        """What tells this space of vectors from any other."""

    @property
    def dimensions(self) -> int:
        """Length of every vector."""

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text, in order; raises RagopsError."""
