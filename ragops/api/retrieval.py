"""One question to one collection: by vector and words as the settings are, and what is left of the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING

from ragops.adapters.qdrant.searching import Question
from ragops.api.clients import SearchRefusedError, VectorsMissingError
from ragops.api.relevance import QuestionWords, fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ragops.adapters.qdrant.searching import Hit, Mode
    from ragops.api.clients import Qdrant
    from ragops.api.config import SearchConfig
    from ragops.api.embedders import Source

# Cosines that vectors of unlike texts do not reach, by how the name of the embedder or model begins or what it has in
# it: far differs from model to model. Hashing has none, as two short texts of the same buckets are alike.
_FLOORS = (("hashing-", 1.01), ("wordllama", 0.6), ("e5-", 0.8), ("minilm", 0.3))
_FLOOR = 0.5
_MORE = 20  # passages beyond those asked for: some are folded
_DEPTH = 100
# Chosen by `bench/search_quality.py --tune`: words are right more often, vectors find what words miss.
RRF_K, RRF_WEIGHTS = 2, (1.0, 1.5)


def floor_of(model: str, configured: float | None = None) -> float:
    """Return the least cosine that counts without common words: what is configured, else that of the model's family."""
    if configured is not None:
        return configured
    return next((floor for family, floor in _FLOORS if family in model.lower()), _FLOOR)


@dataclass(frozen=True)
class Result:
    """The passages that were found, best first, and how they were asked for."""

    hits: tuple[Hit, ...]
    mode: Mode


@dataclass(frozen=True)
class Retrieval:
    """Finds passages; `config` is how."""

    qdrant: Qdrant
    config: SearchConfig
    rrf_k: int = RRF_K
    rrf_weights: tuple[float, float] = RRF_WEIGHTS

    @property
    def needs_vector(self) -> bool:
        """Whether a question has to be turned into a vector."""
        return self.config.mode != "sparse"

    async def find(self, source: Source, text: str, vector: Sequence[float] | None, limit: int) -> Result:
        """Return the best passages, each text once; none if none is about the question. Raises ApiError."""
        words = None if self.config.mode == "dense" else source.words.of_question(text)
        if not vector and words is None:
            raise VectorsMissingError(source.points, lacks_words=False)
        wanted = Question(
            vector or None, words, limit + _MORE, depth=_DEPTH + limit, rrf_k=self.rrf_k, rrf_weights=self.rrf_weights
        )
        asked, found = await self._ask(source.points, wanted)
        question, rest = QuestionWords(text), fold(found)
        hits = list(islice(rest, limit))
        if not question.shares_words(hits):
            hits = await self._find_near(source, asked)
        elif asked.vector is not None:
            hits = await self._keep_relevant(source, asked, question, chain(hits, rest), limit)
        return Result(tuple(hits[:limit]), asked.mode)

    def _floor(self, source: Source) -> float:
        """Return the least cosine that counts without common words; above 1 none does."""
        own, model = source.embedder.least_cosine, source.embedder.model
        return floor_of(model, self.config.least_cosine if own is None else own)

    async def _keep_relevant(
        self, source: Source, asked: Question, question: QuestionWords, hits: Iterable[Hit], limit: int
    ) -> list[Hit]:
        """Return the best passages that share a word with the question, or are near enough.

        Words are compared here first. A passage that has none of them may still be found by them: by other forms of
        theirs, or by the beginning of its document.
        """
        kept: list[Hit] = []
        near: set[str] | None = None
        for hit in hits:
            if not question.has_word(hit):
                near = await self._near(source, asked) if near is None else near
                if hit.id not in near and not (asked.mode == "dense" and hit.score >= self._floor(source)):
                    continue
            kept.append(hit)
            if len(kept) == limit:
                break
        return kept

    async def _near(self, source: Source, asked: Question) -> set[str]:
        """Return the ids of passages that are near enough, or found by words; none if scores are cosines."""
        floor = self._floor(source)
        if asked.mode == "dense" or floor > 1:
            return set()
        again = replace(asked, least_cosine=floor, limit=2 * asked.depth, with_payload=False)
        return {hit.id for hit in (await self._ask(source.points, again))[1]}

    async def _find_near(self, source: Source, asked: Question) -> list[Hit]:
        """Return the passages near enough to count although they share too few words with the question."""
        if asked.vector is None or (floor := self._floor(source)) > 1:
            return []
        return list(fold((await self._ask(source.points, replace(asked, words=None, least_cosine=floor)))[1]))

    async def _ask(self, points: str, asked: Question) -> tuple[Question, list[Hit]]:
        """Return what was asked in the end, and what was found."""
        try:
            return await self._ask_what_is_there(points, asked)
        except SearchRefusedError:  # strict mode limits how much may be asked for
            limit = max(1, asked.limit - _MORE)
            return await self._ask_what_is_there(points, replace(asked, limit=limit, depth=limit))

    async def _ask_what_is_there(self, points: str, asked: Question) -> tuple[Question, list[Hit]]:
        """Ask by what the collection has: one that an earlier release made has no words, a sparse one no vectors."""
        try:
            return asked, await self.qdrant.query(points, asked)
        except VectorsMissingError as error:
            less = replace(asked, words=None) if error.lacks_words else replace(asked, vector=None)
            if less.vector is None and less.words is None:
                raise
        return less, await self.qdrant.query(points, less)
