"""No vectors: a platform that searches by words alone has no model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BM25_NAME = "bm25"  # what is recorded and named in place of an embedder


class NullEmbedder:
    """Gives each text an empty vector, which is none."""

    name = BM25_NAME
    dimensions = 0

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return an empty vector for each text."""
        return [[] for _ in texts]
