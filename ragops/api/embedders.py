"""What turns a question into a vector: for each collection the embedder that its vectors were made with."""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ragops import embedding
from ragops.adapters.qdrant.sparse import WordModel
from ragops.api.logs import log
from ragops.api.problem import ApiError
from ragops.api.single_flight import SingleFlight
from ragops.embedding.null_embedder import BM25_NAME, NullEmbedder
from ragops.embedding.spec import local_spec
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.api.breakers import Breaker
    from ragops.api.clock import Clock
    from ragops.api.model_servers import ModelServer
    from ragops.api.stores import Database
    from ragops.embedding import Embedder
    from ragops.embedding.spec import ModelSpec

_LOG = logging.getLogger(__name__)
_FRESH_SECONDS = 10.0
_MOST_KNOWN = 10_000
# The newest job that stored how its chunks are made names what made them; a collection without one has no vectors yet.
_MADE_WITH = """
SELECT c.embedding_model, j.way->>'embedder', j.way ? 'passage_prefix', j.way->>'collection', j.way->>'words',
    j.way->>'language'
FROM rag.collections c LEFT JOIN LATERAL (
    SELECT details->'way' AS way FROM rag.ingestion_jobs
    WHERE collection_id = c.id AND details ? 'way' ORDER BY started_at DESC LIMIT 1) j ON true
WHERE c.name = %s
"""


class QueryEmbedder(Protocol):
    """Turns one question into a vector."""

    name: str
    model: str  # of which a family is known by its name

    @property
    def least_cosine(self) -> float | None:
        """The floor that is configured for this model."""

    def check(self) -> None:
        """Raise CircuitOpenError if it would refuse."""

    async def embed(self, text: str, *, prefixed: bool = True) -> list[float]:
        """Return the vector; raises ApiError."""


class LocalEmbedder:
    """An embedder that computes in this process."""

    def __init__(self, embedder: Embedder) -> None:
        self.name = self.model = embedder.name
        self.least_cosine: float | None = None
        self._embedder = embedder

    def check(self) -> None:
        """Return: it has no dependency."""

    async def embed(self, text: str, *, prefixed: bool = True) -> list[float]:  # noqa: ARG002  it has no prefixes
        """Return the vector."""
        return self._embedder.embed([text])[0]


class ServedEmbedder:
    """A model of a server, behind its own breaker."""

    def __init__(self, server: ModelServer, spec: ModelSpec, breaker: Breaker) -> None:
        self.name, self.model = spec.space, spec.model
        self.least_cosine = spec.least_cosine
        self.breaker = breaker
        self.server = server
        self._spec = spec

    def check(self) -> None:
        """Raise CircuitOpenError if a call would be refused."""
        self.breaker.check()

    async def embed(self, text: str, *, prefixed: bool = True) -> list[float]:
        """Return the vector; raises ApiError."""
        return await self.breaker.call(lambda: self.server.embed(text, self._spec, prefixed=prefixed))

    async def ready(self) -> None:
        """Return if the server answers and has the model; raises ApiError."""
        await self.server.ready(self._spec.model)


@dataclass(frozen=True)
class MadeWith:
    """The embedder of a collection by name, whether its passages had the prefix of its model, and when that was so.

    `points` is the collection of the vector store: another one than that of users if it was built again.
    """

    name: str
    prefixed: bool
    points: str
    seen: float
    words: WordModel


class Source(NamedTuple):
    """How a collection is asked: by which embedder, with or without its prefix, in which collection of points.

    `words` is how the words of a question are weighed.
    """

    embedder: QueryEmbedder
    prefixed: bool
    points: str
    words: WordModel = WordModel()

    @property
    def state(self) -> tuple[str, str]:
        """The state of the collection that it asks: another one after a rebuild, or a restore of an older one."""
        return self.embedder.name, self.points


class Embedders:
    """The embedders that collections may have, by name; those without a server are made when one asks for them."""

    def __init__(
        self,
        default: QueryEmbedder,
        served: Mapping[str, QueryEmbedder],
        database: Database | None,
        clock: Clock,
    ) -> None:
        self.default = default
        self.all: dict[str, QueryEmbedder] = {**served, default.name: default}
        self._database = database
        self._clock = clock
        self._known: dict[str, MadeWith] = {}
        self._lookups: SingleFlight[MadeWith | None] = SingleFlight()
        self._changes = 0  # that were reported: a look-up that began before one may have read what was before it

    def forget(self, *collections: str) -> None:
        """Look these collections up again before their next question, all if none is named: they have changed.

        Until the database answers, the last result is used.
        """
        self._lookups.forget()
        self._changes += 1
        for name in collections or tuple(self._known):
            if name in self._known:
                self._known[name] = replace(self._known[name], seen=-math.inf)

    async def find(self, collection: str, *, by_words: bool = False) -> Source:
        """Return how a collection is asked; `by_words`: without any vector.

        Raises ApiError 409 (embedder_mismatch) if the API does not have it.
        """
        made = await self._look_up(collection)
        words = made.words if made else WordModel()
        if by_words or (made and made.name == BM25_NAME):
            return Source(LocalEmbedder(NullEmbedder()), True, made.points if made else collection, words)
        if made is None:
            return Source(self.default, True, collection)
        found = self.all.get(made.name) or await self._local(made.name)
        if found is None:
            detail = (
                f"the vectors of {collection} were made with {made.name}, which is not among the models here:"
                " add it to api.models, or ingest with another `embeddingModel`"
            )
            raise ApiError(409, "embedder_mismatch", detail)
        return Source(found, made.prefixed, made.points, words)

    async def _local(self, name: str) -> QueryEmbedder | None:
        spec = local_spec(name)
        if spec is None:
            return None
        try:
            self.all[name] = LocalEmbedder(await asyncio.to_thread(embedding.make, spec))
        except RagopsError as error:
            raise ApiError(503, error.code, error.message) from error
        return self.all[name]

    async def _look_up(self, collection: str) -> MadeWith | None:
        """Return what the database reports, at most some seconds old; its last answer if it does not answer.

        Questions that need it at once wait for one look-up: the pool has few connections.
        """
        known = self._known.get(collection)
        if self._database is None or (known and self._clock.monotonic() - known.seen < _FRESH_SECONDS):
            return known
        database = self._database
        return await self._lookups.run(collection, lambda: self._read(database, collection))

    async def _read(self, database: Database, collection: str) -> MadeWith | None:
        now, changes = self._clock.monotonic(), self._changes
        try:
            rows = await database.rows(_MADE_WITH, (collection.replace("\x00", ""),))
        except ApiError as error:
            log(_LOG, logging.WARNING, "embedder_not_looked_up", collection=collection, reason=error.detail)
            return self._known.get(collection)
        if not rows:
            self._known.pop(collection, None)
            return None
        wanted, made, prefixed, points, *words = rows[0]
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        is_new = made is None
        model = WordModel() if is_new else WordModel.read(dict(zip(("words", "language"), words, strict=False)))
        seen = now if changes == self._changes else -math.inf
        found = MadeWith(made or wanted, bool(prefixed) or is_new, points or collection, seen, model)
        self._known[collection] = found
        return found
