"""Embedding of text into vectors: one protocol for ingest and the API, so that both use the same space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ragops.embedding.spec import ModelSpec

Vector = list[float]


class Embedder(Protocol):
    """Turns passages into vectors of one length; `name` is recorded with what was made with it."""

    @property
    def name(self) -> str:
        """The name of this space of vectors."""

    @property
    def dimensions(self) -> int:
        """Length of every vector."""

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text, in order; raises RagopsError."""


def make(spec: ModelSpec, key: Callable[[], str] = lambda: "") -> Embedder:
    """Return the embedder of a specification; `key` returns the key of its server. Raises MissingError."""
    if spec.kind == "hashing":
        from ragops.embedding.hashing import DEFAULT_DIMENSIONS, HashingEmbedder

        return HashingEmbedder(spec.dimensions or DEFAULT_DIMENSIONS)
    if spec.kind == "static":
        from ragops.embedding.static import StaticEmbedder

        return StaticEmbedder(spec.space)
    from ragops.embedding.server import ServerEmbedder

    return ServerEmbedder(spec, key)
