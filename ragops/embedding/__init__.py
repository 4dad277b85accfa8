"""Embedding of text into vectors: one protocol for ingest and the API, so that both use the same space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

Vector = list[float]


class Embedder(Protocol):
    """Turns text into vectors of one length; `name` is recorded with what was made with it."""

    @property
    def name(self) -> str:
        """The name of this space of vectors."""

    @property
    def dimensions(self) -> int:
        """Length of every vector."""

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text, in order; raises RagopsError."""


def make(kind: str, model: str = "", url: str | None = None, dimensions: int | None = None) -> Embedder:
    """Return the embedder of a configuration: `hashing`, or `ollama` with model and URL. Raises ValueError."""
    if kind == "hashing":
        from ragops.embedding.hashing import DEFAULT_DIMENSIONS, HashingEmbedder

        return HashingEmbedder(dimensions or DEFAULT_DIMENSIONS)
    if kind != "ollama" or not url or not model:
        raise ValueError(f"no embedder {kind} {model} {url}")
    from ragops.embedding.ollama import OllamaEmbedder

    return OllamaEmbedder(url, model, dimensions)
