"""From a question to passages: cache, vector, nearest points."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ragops.adapters.trace_context import span
from ragops.api.load_shedding import TARGET_SECONDS
from ragops.api.passages import FoundPassage, Passages, passage_of
from ragops.api.problem import ApiError
from ragops.api.retrieval import Retrieval
from ragops.api.single_flight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from ragops.api.breakers import Breaker
    from ragops.api.clients import Qdrant
    from ragops.api.config import SearchConfig
    from ragops.api.embedders import Embedders, Source
    from ragops.api.load_shedding import Overload
    from ragops.api.metrics import Metrics
    from ragops.api.stores import AnswerCache

MOST_COLLECTIONS, _AT_ONCE = 50, 4  # of a question to all of them
DEPTH = 200  # passages that v2 groups by document: pages end after them
_DIGEST = 6  # bytes of a hash in a cursor: enough to distinguish DEPTH documents


@dataclass(frozen=True)
class Found:
    """Passages, best first; `cached` when they are up to some seconds old. `embedder` made the question's vector.

    `mode` is how they were searched; several, if collections differ.
    """

    passages: Sequence[FoundPassage]
    cached: bool
    embedder: str = ""
    mode: str = ""


class Search:
    """Asks the vector store for what is nearest to a question."""

    def __init__(
        self,
        qdrant: Qdrant,
        breaker: Breaker,
        embedders: Embedders,
        cache: AnswerCache | None,
        config: SearchConfig,
        metrics: Metrics,
        overload: Overload,
    ) -> None:
        self._metrics = metrics
        self._overload = overload
        self._searches: SingleFlight[Found] = SingleFlight()
        self.qdrant = qdrant
        self.retrieval = Retrieval(qdrant, config)
        self.breaker = breaker
        self.embedders = embedders
        self.cache = cache
        if cache:
            cache.on_change = self.forget
        self.names: Callable[[], Awaitable[list[str]]] = qdrant.collections  # of all that can be asked

    def forget(self) -> None:
        """Look collections up again, and search again what is being searched: they have changed."""
        self.embedders.forget()
        self._searches.forget()

    async def passages(self, collection: str | None, query: str, limit: int) -> Found:
        """Return at most `limit` passages of a collection, of all of them if it is None; raises ApiError."""
        if collection is None:
            return await search_all(self._passages_if_ingested, await self.names(), query, limit)
        return await self._passages(collection, query, limit)

    async def _passages_if_ingested(self, collection: str, query: str, limit: int) -> Found:
        """Return what `_passages` does; ApiError 404 if there are no points, though its model server may be down."""
        try:
            return await self._passages(collection, query, limit)
        except ApiError as error:
            if error.status in (404, 409):
                raise
            points = (await self._source(collection)).points
            if points in await self.breaker.call(self.qdrant.collections):
                raise
            raise ApiError(404, "collection_not_found", f"there is no collection {collection}") from error

    async def _passages(self, collection: str, query: str, limit: int) -> Found:
        source = await self._source(collection)
        cached = await self._cached(collection, source, query, limit)
        again = await self._source(collection)
        if again.state != source.state:  # the cache has reported a change
            source, cached = again, await self._cached(collection, again, query, limit)
        if cached is not None:
            return cached
        try:
            return await self._ask_once(collection, source, query, limit)
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            # The collection was built again, or an older one restored, and the points before are deleted.
            self.embedders.forget(collection)
            again = await self._source(collection)
            if again.state == source.state:
                raise
        return await self._ask_once(collection, again, query, limit)

    async def _source(self, collection: str) -> Source:
        return await self.embedders.find(collection, by_words=not self.retrieval.needs_vector)

    def _question(self, source: Source, query: str, limit: int) -> tuple[Any, ...]:
        return ("passages-3", self.retrieval.config.mode, *source.state, query, limit)

    async def _cached(self, collection: str, source: Source, query: str, limit: int) -> Found | None:
        content = await self.cache.get(collection, self._question(source, query, limit)) if self.cache else None
        if content is None:
            return None
        mode, passages = Passages.decode(content)
        return Found(passages, cached=True, embedder=source.embedder.name, mode=mode)

    async def _ask_once(self, collection: str, source: Source, query: str, limit: int) -> Found:
        """Ask, or wait for the answer if the same question is being asked: without a cache all of them would be."""
        key = (collection, *self._question(source, query, limit))
        if key not in self._searches:
            self._overload.check(TARGET_SECONDS, searches=len(self._searches))
        return await self._searches.run(key, lambda: self._ask(collection, source, query, limit))

    async def _ask(self, collection: str, source: Source, query: str, limit: int) -> Found:
        embedder = source.embedder
        # An open breaker refuses before anything else is asked for nothing.
        self.breaker.check()
        embedder.check()
        began = perf_counter()
        with span("embed", embedder=embedder.name):
            vector = await embedder.embed(query, prefixed=source.prefixed)
        self._metrics.embedding_seconds.labels(embedder.name).observe(perf_counter() - began)
        result = await self.breaker.call(lambda: self.retrieval.find(source, query, vector, limit))
        passages = Passages([passage_of(hit, collection) for hit in result.hits])
        if self.cache:
            await self.cache.put(collection, self._question(source, query, limit), passages.encode(result.mode))
        return Found(passages, cached=False, embedder=embedder.name, mode=result.mode)


async def search_all(
    search: Callable[[str, str, int], Awaitable[Found]], names: Sequence[str], query: str, limit: int
) -> Found:
    """Ask several collections, and return the best passages of them all, each text once.

    Ranks are compared, for the scores of two embedders cannot be. A collection that was never ingested or that cannot
    be asked by the models here is left out. Raises ApiError: 422 for too many, what a search fails with if all do.
    """
    if len(names) > MOST_COLLECTIONS:
        detail = f"there are more than {MOST_COLLECTIONS} collections: name the one to ask"
        raise ApiError(422, "collection_needed", detail)
    gate = asyncio.Semaphore(_AT_ONCE)
    refused: list[ApiError] = []

    async def ask(name: str) -> Found | None:
        async with gate:
            try:
                return await search(name, query, limit)
            except ApiError as error:
                if error.status not in (404, 409):
                    raise
                refused.append(error)
                return None

    found = [one for one in await asyncio.gather(*map(ask, names)) if one is not None]
    if not found and refused:
        raise refused[0]
    ranked = sorted(
        (passage for one in found for passage in one.passages), key=lambda passage: (-passage.score, passage.id)
    )
    best = {passage.text: passage for passage in reversed(ranked)}
    passages = sorted(best.values(), key=lambda passage: (-passage.score, passage.id))[:limit]
    cached = bool(found) and all(one.cached for one in found)
    embedders, modes = (one.embedder for one in found), (one.mode for one in found)
    return Found(tuple(passages), cached, embedder=_listed(embedders), mode=_listed(modes))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(name for name in names if name))


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
    """Return the best documents that the pages before have not shown, and the cursor of the next page.

    A cursor holds which documents were shown, not a count or a score: documents that come or go between two pages
    neither repeat nor hide others, though the score of a rank changes with them. Raises ApiError 409 for a cursor of
    another question.
    """
    before = _read_cursor(cursor, question) if cursor is not None else b""
    shown = {before[start : start + _DIGEST] for start in range(0, len(before), _DIGEST)}
    rest = [document for document in documents if _digest(document) not in shown]
    following = before + b"".join(_digest(document) for document in rest[:limit])
    return rest[:limit], _write_cursor(following, question) if len(rest) > limit else None


def _digest(document: FoundDocument) -> bytes:
    return hashlib.sha256(_document(document).encode()).digest()[:_DIGEST]


def _document(passage: FoundPassage | FoundDocument) -> str:
    return passage.path if passage.document_id is None else str(passage.document_id)


def _order(document: FoundDocument) -> tuple[float, str]:
    return (-document.score, _document(document))


def _fingerprint(question: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(question).encode()).hexdigest()[:16]


def _write_cursor(shown: bytes, question: Sequence[Any]) -> str:
    value = {"s": base64.b64encode(shown).decode(), "q": _fingerprint(question)}
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()


def _read_cursor(cursor: str, question: Sequence[Any]) -> bytes:
    try:
        values = json.loads(base64.b64decode(cursor.encode(), altchars=b"-_", validate=True))
        if values["q"] == _fingerprint(question):
            return base64.b64decode(values["s"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise ApiError(409, "cursor_mismatch", "the cursor is not a next_cursor of this question: ask without one")
