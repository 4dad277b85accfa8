"""One question to one collection: by vector and words as the settings say, and what is left of the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ragops.adapters.qdrant.searching import Question
from ragops.api.clients import SearchRefusedError, VectorsMissingError
from ragops.embedding.hashing import stems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.adapters.qdrant.searching import Hit
    from ragops.api.clients import Qdrant
    from ragops.api.config import SearchConfig

# Of the question's words, the share that the best passage has to have; else only its vector can make it count.
LEAST_SHARE = 0.25
_LOOKED_AT = 10
_NOT_A_WORD = re.compile(r"\W+")
# Scripts that write words without spaces between: their characters stand for words.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u30ff\u3400-\u9fff\uf900-\ufaff]")
# Cosines that vectors of unlike texts do not reach (bench/search_quality.py): hashing has none, as two short texts of
# the same bucket are alike.
_FLOORS = {"hashing": 1.01, "static": 0.6, "wordllama": 0.6}
_FLOOR = 0.5


def floor_of(embedder: str, configured: float | None) -> float:
    """Return the least cosine that counts without common words: what is configured, else that of the embedder."""
    if configured is not None:
        return configured
    return next((floor for kind, floor in _FLOORS.items() if embedder.startswith(kind)), _FLOOR)


def fold(hits: Sequence[Hit]) -> list[Hit]:
    """Return the hits best first, without those whose text differs from a better one's in space and signs alone."""
    seen: set[str] = set()
    kept = []
    for hit in sorted(hits, key=lambda one: (-one.score, one.id)):
        text = str(hit.payload.get("text", ""))
        key = _NOT_A_WORD.sub(" ", text).strip().casefold() or text or hit.id
        if key not in seen:
            seen.add(key)
            kept.append(hit)
    return kept


def shares_words(question: str, hits: Sequence[Hit]) -> bool:
    """Whether one of the best passages has enough of the question's words; true for a question without words."""
    wanted = _words(question)
    if not wanted:
        return True
    texts = (f"{hit.payload.get('path', '')} {hit.payload.get('text', '')}" for hit in hits[:_LOOKED_AT])
    return any(len(wanted & _all_words(text)) >= LEAST_SHARE * len(wanted) for text in texts)


def _all_words(text: str) -> set[str]:
    """Return the words of a passage, those that say nothing too: a question may have no others."""
    return {*_words(text), *_NOT_A_WORD.sub(" ", text).casefold().split()}


def _words(text: str) -> set[str]:
    return {*stems(_UNSPACED.sub(" ", text)), *_UNSPACED.findall(text)}


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
