"""One question to one collection: by vector and words as the settings say, and what is left of the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ragops.adapters.qdrant.searching import Question
from ragops.api.clients import SearchRefusedError, VectorsMissingError
from ragops.api.relevance import floor_of, fold, shares_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.adapters.qdrant.searching import Hit
    from ragops.api.clients import Qdrant
    from ragops.api.config import SearchConfig

_MORE = 20  # passages beyond those asked for: some are folded
_DEPTH = 100
# Measured by bench/search_quality.py: words are right more often, vectors find what words miss.
_RRF_K, _RRF_WEIGHTS = 1, (1.0, 1.9)


@dataclass(frozen=True)
class Retrieval:
    """Finds passages; `config` is how."""

    qdrant: Qdrant
    config: SearchConfig

    @property
    def needs_vector(self) -> bool:
        """Whether a question has to be turned into a vector."""
        return self.config.mode != "sparse"

    async def find(
        self, collection: str, text: str, vector: Sequence[float] | None, embedder: str, limit: int
    ) -> list[Hit]:
        """Return the best passages, each text once; none if none is about the question. Raises ApiError."""
        words = None if self.config.mode == "dense" else text
        if not vector and words is None:
            raise VectorsMissingError(collection, lacks_words=False)
        asked = Question(
            vector or None, words, limit + _MORE, depth=_DEPTH + limit, rrf_k=_RRF_K, rrf_weights=_RRF_WEIGHTS
        )
        hits = fold(await self._ask(collection, asked))[:limit]
        if shares_words(text, hits):
            return hits
        return await self._nearest(
            collection, replace(asked, words=None, least_cosine=floor_of(embedder, self.config.least_cosine)), limit
        )

    async def _nearest(self, collection: str, asked: Question, limit: int) -> list[Hit]:
        """Return the passages near enough to count although they share no words with the question."""
        if asked.vector is None or (asked.least_cosine or 0) > 1:
            return []
        return fold(await self._ask(collection, asked))[:limit]

    async def _ask(self, collection: str, asked: Question) -> list[Hit]:
        try:
            return await self._ask_what_is_there(collection, asked)
        except SearchRefusedError:  # strict mode limits how much may be asked for
            limit = max(1, asked.limit - _MORE)
            return await self._ask_what_is_there(collection, replace(asked, limit=limit, depth=limit))

    async def _ask_what_is_there(self, collection: str, asked: Question) -> list[Hit]:
        """Ask by what the collection has: one that an earlier release made has no words, a sparse one no vectors."""
        try:
            return await self.qdrant.query(collection, asked)
        except VectorsMissingError as error:
            less = replace(asked, words=None) if error.lacks_words else replace(asked, vector=None)
            if less.vector is None and less.words is None:
                raise
        return await self.qdrant.query(collection, less)
