"""Everything that a request may need, built once from the configuration."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from fastapi import Request  # noqa: TC002  FastAPI reads the annotations

from ragops.adapters import trace_context
from ragops.api import catalogue
from ragops.api.answering import Answers
from ragops.api.breakers import Breaker
from ragops.api.chat_model import ChatModel
from ragops.api.clients import Qdrant
from ragops.api.clock import Clock
from ragops.api.embedders import Embedders, LocalEmbedder, QueryEmbedder, ServedEmbedder
from ragops.api.load_shedding import Overload
from ragops.api.metrics import Metrics
from ragops.api.model_servers import ModelServer
from ragops.api.querylog import QueryLog
from ragops.api.search import Search
from ragops.api.stores import REDIS_SECONDS, AnswerCache, Database
from ragops.embedding import make

if TYPE_CHECKING:
    from ragops.api.config import ApiConfig
    from ragops.api.tracing import Tracing
    from ragops.embedding.spec import ModelSpec

_SLACK = 1.0  # seconds that a guarded call has beyond its attempts
_DATABASE_SECONDS = 5.0


@dataclass(frozen=True)
class Dependencies:
    """Clients and their breakers; `open` and `close` belong to the life of the service."""

    config: ApiConfig
    clock: Clock
    metrics: Metrics
    breakers: dict[str, Breaker]
    search: Search
    answers: Answers
    query_log: QueryLog
    cache: AnswerCache | None
    database: Database | None
    overload: Overload
    tracing: Tracing | None = None

    async def open(self) -> None:
        """Begin to connect, without waiting."""
        trace_context.record_with(self.tracing)
        self.overload.delay.start()
        if self.database:
            await self.database.open()
        self.query_log.start()

    async def close(self) -> None:
        """Write what waits, end what runs, give connections back."""
        self.overload.delay.stop()
        await self.query_log.close()
        for breaker in self.breakers.values():
            await breaker.close()
        models = (*self.search.embedders.all.values(), self.answers.writer)
        servers = (part.server for part in models if isinstance(part, ServedEmbedder | ChatModel))
        for client in (*servers, self.search.qdrant, self.cache, self.database):
            if client is not None:
                await client.close()
        if self.tracing:
            trace_context.record_with(None)
            await asyncio.to_thread(self.tracing.close)


class _Builder:
    """Builds the parts of one service over the same clock, metrics and set of breakers."""

    def __init__(self, config: ApiConfig, clock: Clock) -> None:
        self.config = config
        self.clock = clock
        self.metrics = Metrics()
        self.breakers: dict[str, Breaker] = {}
        # By the machine's own clock: the loop that it measures is this process, which nothing moves.
        self.overload = Overload(time.monotonic, len(config.qdrant.urls), self.metrics)

    def breaker(self, name: str, timeout: float) -> Breaker:
        breaker = Breaker(name, self.config.breakers, timeout, self.clock, self.metrics)
        self.breakers[name] = breaker
        return breaker

    def search(self, cache: AnswerCache | None, database: Database | None) -> Search:
        config, seconds = self.config.qdrant, self.config.timeouts.qdrant
        key = self.config.secret(config.api_key_file)
        qdrant = Qdrant(config, key, timeout=seconds, clock=self.clock, metrics=self.metrics)
        # One question is asked up to four times: as it is, by what the collection has, each with a floor once more.
        breaker = self.breaker("qdrant", 4 * qdrant.attempts * seconds + _SLACK)
        default = self.embedder(self.config.embedder)
        served = {name: self.embedder(spec) for name, spec in self.config.models.items()}
        embedders = Embedders(default, served, database, self.clock)
        return Search(qdrant, breaker, embedders, cache, self.config.search, self.metrics, self.overload)

    def embedder(self, spec: ModelSpec) -> QueryEmbedder:
        if not spec.is_served or spec.url is None:
            return LocalEmbedder(make(spec))
        key = self.config.secret(spec.key_file)
        # One for each model: another one of the same server may be missing, or have another key.
        name = spec.kind if spec.kind not in self.breakers else f"{spec.kind} {spec.space}"
        breaker = self.breaker(name, spec.timeout + _SLACK)
        return ServedEmbedder(ModelServer(name, spec.kind, spec.url, spec.timeout, key), spec, breaker)

    def writer(self) -> ChatModel | None:
        spec = self.config.chat
        if spec is None:
            return None
        key = self.config.secret(spec.key_file)
        server = ModelServer("chat", spec.kind, spec.url, spec.timeout, key)
        return ChatModel(server, spec, self.breaker("chat", spec.timeout + _SLACK), self.metrics)

    def cache(self) -> AnswerCache | None:
        config = self.config.redis
        if config is None:
            return None
        password, breaker = self.config.secret(config.password_file), self.breaker("redis", REDIS_SECONDS + _SLACK)
        return AnswerCache(config, password, self.config.cache.seconds, breaker, self.metrics, self.clock)

    def query_log(self, database: Database | None, cache: AnswerCache | None) -> QueryLog:
        read_only = cache.read_only if cache else None
        return QueryLog(database, self.config.privacy.query_text, self.clock, self.metrics, read_only)

    def tracing(self) -> Tracing | None:
        if self.config.tracing is None:
            return None
        from ragops.api.tracing import Tracing

        return Tracing(self.config.tracing, self.config.platform)

    def database(self) -> Database | None:
        config = self.config.database
        if config is None:
            return None
        password = self.config.secret(config.password_file)
        return Database(config, password, self.breaker("database", _DATABASE_SECONDS))


def build(config: ApiConfig, clock: Clock | None = None) -> Dependencies:
    """All clients; connects to nothing yet. Raises UsageError where a secret cannot be read, MissingError."""
    builder = _Builder(config, clock or Clock())
    cache, database = builder.cache(), builder.database()
    search = builder.search(cache, database)
    deps = Dependencies(
        config=config,
        clock=builder.clock,
        metrics=builder.metrics,
        breakers=builder.breakers,
        search=search,
        answers=Answers(search, builder.writer()),
        query_log=builder.query_log(database, cache),
        cache=cache,
        database=database,
        overload=builder.overload,
        tracing=builder.tracing(),
    )
    search.names = partial(catalogue.names, deps)
    return deps


# Both are coroutines because FastAPI would take plain functions to a thread, at a millisecond a request.
async def dependencies(request: Request) -> Dependencies:
    """Return the dependencies of the application."""
    deps: Dependencies = request.app.state.dependencies
    return deps


async def consumer(request: Request) -> str:
    """Return the name that the user's token proves."""
    return str(request.scope.get("state", {}).get("consumer", ""))
