"""One question to one collection: by vector and words as the settings say, and what is left of the answer."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ragops.adapters.qdrant.searching import Question
from ragops.adapters.qdrant.sparse import UNSPACED
from ragops.api.clients import SearchRefusedError, VectorsMissingError
from ragops.embedding.hashing import stems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.adapters.qdrant.searching import Hit, Mode
    from ragops.api.clients import Qdrant
    from ragops.api.config import SearchConfig
    from ragops.api.embedders import Source

# Of the question's words, the share that the best passage has to have; else only its vector can make it count.
LEAST_SHARE = 0.25
_LOOKED_AT = 10
_STEM = 6  # letters: endings differ from language to language
# Cosines that vectors of unlike texts do not reach, by how the name of the embedder or model begins or what it has in
# it: far differs from model to model. Hashing has none, as two short texts of the same buckets are alike.
_FLOORS = (("hashing-", 1.01), ("wordllama", 0.6), ("e5-", 0.8), ("minilm", 0.3))
_FLOOR = 0.5
_NOT_A_WORD = re.compile(r"\W+")
_UNSPACED = re.compile(f"[{UNSPACED}]")
_MORE = 20  # passages beyond those asked for: some are folded
_DEPTH = 100
# Chosen by `bench/search_quality.py --tune`: words are right more often, vectors find what words miss.
RRF_K, RRF_WEIGHTS = 2, (1.0, 1.5)


def floor_of(model: str, configured: float | None = None) -> float:
    """Return the least cosine that counts without common words: what is configured, else that of the model's family."""
    if configured is not None:
        return configured
    return next((floor for family, floor in _FLOORS if family in model.lower()), _FLOOR)


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


class QuestionWords:
    """The words of a question, to be looked for in passages."""

    def __init__(self, question: str) -> None:
        self._words = _words(question)
        self._found: dict[str, set[str]] = {}

    def shares_words(self, hits: Sequence[Hit]) -> bool:
        """Whether one of the best passages has enough of the words; true for a question without words.

        Enough is a quarter of them by number or by letters: in a language whose stop words are not known here, those
        are many and short.
        """
        return not self._words or any(self._has_enough(hit) for hit in hits[:_LOOKED_AT])

    def has_word(self, hit: Hit) -> bool:
        """Whether a passage has one of the words; true for a question without words."""
        return not self._words or not self._words.keys().isdisjoint(self._words_of(hit))

    def _has_enough(self, hit: Hit) -> bool:
        shared = self._words.keys() & self._words_of(hit)
        letters = sum(self._words[word] for word in shared)
        return len(shared) >= LEAST_SHARE * len(self._words) or letters >= LEAST_SHARE * sum(self._words.values())

    def _words_of(self, hit: Hit) -> set[str]:
        """Return the words of a passage, those that say nothing too: a question may have no others."""
        if hit.id not in self._found:
            text = " ".join(str(hit.payload.get(name) or "") for name in ("path", "heading", "text"))
            spaced = _NOT_A_WORD.sub(" ", text).casefold().split()
            self._found[hit.id] = {*_words(text), *map(_stem, spaced)}
        return self._found[hit.id]


def _words(text: str) -> dict[str, int]:
    """Return the stems of the words of a text, with the letters of the words."""
    spaced = {_stem(word): len(word) for word in stems(_UNSPACED.sub(" ", text))}
    return spaced | dict.fromkeys(_UNSPACED.findall(text), 1)


def _stem(word: str) -> str:
    """Return the beginning of a word, without accents."""
    if not word.isascii():
        letters = unicodedata.normalize("NFKD", word)
        word = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return word[:_STEM]


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
        question, hits = QuestionWords(text), fold(found)
        if not question.shares_words(hits[:limit]):
            hits = await self._find_near(source, asked)
        elif asked.vector is not None:
            hits = await self._keep_relevant(source, asked, question, hits)
        return Result(tuple(hits[:limit]), asked.mode)

    def _floor(self, source: Source) -> float:
        """Return the least cosine that counts without common words; above 1 none does."""
        own, model = source.embedder.least_cosine, source.embedder.model
        return floor_of(model, self.config.least_cosine if own is None else own)

    async def _keep_relevant(
        self, source: Source, asked: Question, question: QuestionWords, hits: list[Hit]
    ) -> list[Hit]:
        """Return the passages that share a word with the question, or are near enough.

        Words are compared here first. A passage that has none of them may still be found by them: by other forms of
        theirs, or by the beginning of its document.
        """
        unsure = {hit.id for hit in hits if not question.has_word(hit)}
        if not unsure:
            return hits
        floor = self._floor(source)
        if asked.mode == "dense" or floor > 1:
            near = {hit.id for hit in hits if asked.mode == "dense" and hit.score >= floor}
        else:
            again = replace(asked, least_cosine=floor, limit=2 * asked.depth, with_payload=False)
            near = {hit.id for hit in (await self._ask(source.points, again))[1]}
        return [hit for hit in hits if hit.id not in unsure or hit.id in near]

    async def _find_near(self, source: Source, asked: Question) -> list[Hit]:
        """Return the passages near enough to count although they share too few words with the question."""
        if asked.vector is None or (floor := self._floor(source)) > 1:
            return []
        return fold((await self._ask(source.points, replace(asked, words=None, least_cosine=floor)))[1])

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
