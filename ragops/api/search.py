"""From a question to passages: cache, vector, nearest points."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ragops.adapters.qdrant.searching import Question
from ragops.api.problem import ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.adapters.qdrant.searching import Hit
    from ragops.api.breakers import Breaker
    from ragops.api.clients import Ollama, Qdrant
    from ragops.api.config import EmbedderConfig
    from ragops.api.stores import AnswerCache
    from ragops.embedding import Embedder

DEPTH = 200  # passages that v2 groups by document: pages end after them


class QueryEmbedder(Protocol):
    """Turns one question into a vector."""

    name: str

    def check(self) -> None:
        """Raise CircuitOpenError if it would refuse."""

    async def embed(self, text: str) -> list[float]:
        """Return the vector; raises ApiError."""


class LocalEmbedder:
    """An embedder that computes in this process."""

    def __init__(self, embedder: Embedder) -> None:
        self.name = embedder.name
        self._embedder = embedder

    def check(self) -> None:
        """Return: it has no dependency."""

    async def embed(self, text: str) -> list[float]:
        """Return the vector."""
        return self._embedder.embed([text])[0]


class OllamaQueryEmbedder:
    """A model behind its breaker."""

    def __init__(self, ollama: Ollama, config: EmbedderConfig, breaker: Breaker) -> None:
        self.name = config.model
        self.breaker = breaker
        self.ollama = ollama
        self._config = config

    def check(self) -> None:
        """Raise CircuitOpenError if a call would be refused."""
        self.breaker.check()

    async def embed(self, text: str) -> list[float]:
        """Return the vector; raises ApiError."""
        return await self.breaker.call(lambda: self.ollama.embed(text, self._config))


@dataclass(frozen=True)
class FoundPassage:
    """A piece of a document and how near it is to the question."""

    id: str
    document_id: int | str | None
    path: str
    position: int | None
    score: float
    text: str


@dataclass(frozen=True)
class Found:
    """Passages, best first; `cached` when they are up to some seconds old."""

    passages: tuple[FoundPassage, ...]
    cached: bool


class Search:
    """Asks the vector store for what is nearest to a question."""

    def __init__(self, qdrant: Qdrant, breaker: Breaker, embedder: QueryEmbedder, cache: AnswerCache | None) -> None:
        self.qdrant = qdrant
        self.breaker = breaker
        self.embedder = embedder
        self.cache = cache

    async def passages(self, collection: str, query: str, limit: int) -> Found:
        """At most `limit` passages; raises ApiError."""
        question = ("passages", self.embedder.name, query, limit)
        cached = await self.cache.get(collection, question) if self.cache else None
        if cached is not None:
            return Found(tuple(FoundPassage(**values) for values in cached), cached=True)
        # An open breaker refuses before anything else is asked for nothing.
        self.breaker.check()
        self.embedder.check()
        vector = await self.embedder.embed(query)
        asked = Question(vector, None, limit)
        hits = await self.breaker.call(lambda: self.qdrant.query(collection, asked))
        passages = tuple(_passage(hit) for hit in hits)
        if self.cache:
            await self.cache.put(collection, question, [asdict(passage) for passage in passages])
        return Found(passages, cached=False)


def _passage(hit: Hit) -> FoundPassage:
    """Payloads are written by ingest; what others left out is empty rather than an error."""
    payload = hit.payload
    document, position = payload.get("document_id"), payload.get("position")
    return FoundPassage(
        id=hit.id,
        document_id=document if isinstance(document, int | str) else None,
        path=str(payload.get("path", "")),
        position=position if isinstance(position, int) else None,
        score=hit.score,
        text=str(payload.get("text", "")),
    )


# --- by document, page by page ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FoundDocument:
    """A document with its best passages; `score` is the best one's."""

    document_id: int | str | None
    path: str
    score: float
    passages: tuple[FoundPassage, ...]


def by_document(passages: Sequence[FoundPassage], most: int) -> list[FoundDocument]:
    """Group, best document first and at most `most` passages of each; ties by document, so that the order is total."""
    groups: dict[str, list[FoundPassage]] = {}
    for passage in passages:
        groups.setdefault(_document(passage), []).append(passage)
    documents = [
        FoundDocument(best.document_id, best.path, best.score, tuple(group[:most]))
        for group in (sorted(group, key=lambda passage: (-passage.score, passage.id)) for group in groups.values())
        for best in group[:1]
    ]
    return sorted(documents, key=_order)


def page(
    documents: Sequence[FoundDocument], limit: int, cursor: str | None, question: Sequence[Any]
) -> tuple[list[FoundDocument], str | None]:
    """Return the documents after `cursor` and the cursor of the next page.

    A cursor holds the place of the last document that was shown, not a count: documents that come or go between two
    pages neither repeat nor hide others. Raises ApiError 409 for a cursor of another question.
    """
    rest = list(documents)
    if cursor is not None:
        place = _read_cursor(cursor, question)
        rest = [document for document in documents if _order(document) > place]
    shown = rest[:limit]
    following = _write_cursor(shown[-1], question) if len(rest) > limit else None
    return shown, following


def _document(passage: FoundPassage | FoundDocument) -> str:
    return passage.path if passage.document_id is None else str(passage.document_id)


def _order(document: FoundDocument) -> tuple[float, str]:
    return (-document.score, _document(document))


def _fingerprint(question: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(question).encode()).hexdigest()[:16]


def _write_cursor(document: FoundDocument, question: Sequence[Any]) -> str:
    text = json.dumps({"a": _order(document), "q": _fingerprint(question)}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_cursor(cursor: str, question: Sequence[Any]) -> tuple[float, str]:
    try:
        values = json.loads(base64.b64decode(cursor.encode(), altchars=b"-_", validate=True))
        score, document = values["a"]
        if values["q"] == _fingerprint(question):
            return float(score), str(document)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise ApiError(409, "cursor_mismatch", "the cursor is not a next_cursor of this question: ask without one")
