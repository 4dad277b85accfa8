"""The other stores of the service: answers in Redis, which may be down, and rows in PostgreSQL."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ragops.adapters.redis_pipeline import RedisPipeline
from ragops.adapters.trace_context import span
from ragops.api.dependency_errors import DependencyFailedError, SlowError
from ragops.api.problem import ApiError
from ragops.api.read_only import CHANNEL, ReadOnlyFlag

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from ragops.adapters.redis_pipeline import Command
    from ragops.api.breakers import Breaker
    from ragops.api.clock import Clock
    from ragops.api.config import DatabaseConfig, RedisConfig, Secret
    from ragops.api.metrics import Metrics

REDIS_SECONDS = 0.25
_DATABASE_SECONDS = 3.0
_RECONNECT_SECONDS = 0.3
_PREFIX = "ragops:answers:"
_CHANGE = f"{_PREFIX}@change"  # another value after each change: every process that answers sees that there was one
# A living database reports by these that `ragops migrate up` has not been run yet.
_NO_SCHEMA = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.InsufficientPrivilege,
)


class SchemaMissingError(ApiError):
    """The database answers, and has no rag schema for us: no failure of the database."""

    def __init__(self) -> None:
        detail = "database: the rag schema is not all there: ragops migrate up, else see ragops health timescaledb"
        super().__init__(503, "schema_missing", detail, headers={"Retry-After": "5"}, dependency="database")


class _Login(CredentialProvider):
    """The user and the password that is good when a connection is made."""

    def __init__(self, user: str, password: Secret) -> None:
        self._user = user
        self._password = password

    def get_credentials(self) -> tuple[str, str]:
        """Return user and password."""
        return self._user, next(iter(self._password()), "")


class AnswerCache:
    """Answers by collection, each collection's in one hash, so that forgetting a collection is one command.

    Never raises: without Redis nothing is found and nothing kept. `seconds` is the longest that an answer is given.
    `read_only` is set while a backup holds the platform read-only; then nothing is kept or forgotten either.
    `on_change` is called by `get` if collections have changed since the last one, whichever process heard of that.
    """

    def __init__(
        self, config: RedisConfig, password: Secret, seconds: int, breaker: Breaker, metrics: Metrics, clock: Clock
    ) -> None:
        self.breaker = breaker
        self.on_change: Callable[[], None] = lambda: None
        self._change: Any = None
        self.read_only = ReadOnlyFlag(self._held, clock, metrics)
        self._seconds = seconds
        login = _Login(config.user, password)
        self._redis = Redis(
            host=config.host,
            port=config.port,
            credential_provider=login,
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            retry=Retry(NoBackoff(), 0),
            max_connections=50,
        )
        # What every question needs: one trip, on a connection that all of them share.
        self._pipeline = RedisPipeline(config.host, config.port, login.get_credentials, REDIS_SECONDS)
        outcomes = ("hit", "miss", "unavailable")
        self._hit, self._miss, self._unavailable = (metrics.cache.labels(outcome) for outcome in outcomes)

    async def get(self, collection: str, question: Sequence[object]) -> bytes | None:
        """Return the answer that was put for the same question, or None."""
        if not self._seconds:
            return None
        commands = ("HGET", _PREFIX + collection, _field(question)), ("GET", _CHANGE)
        try:
            with span("cache get", is_call=True, collection=collection):
                answer, change = await self._send(*commands)
        except ApiError:
            self._unavailable.inc()
            return None
        if change != self._change:
            self._change = change
            self.on_change()
        (self._miss if answer is None else self._hit).inc()
        return cast("bytes | None", answer)

    async def put(self, collection: str, question: Sequence[object], answer: bytes) -> None:
        """Keep an answer, unless nothing may be written now."""
        if not self._seconds or await self.read_only.now():
            return
        key = _PREFIX + collection
        change = ("HSET", key, _field(question), answer), ("EXPIRE", key, self._seconds, "NX")
        try:
            with span("cache put", is_call=True, collection=collection):
                await self._send(("MULTI",), *change, ("EXEC",))
        except ApiError:
            self._unavailable.inc()

    async def forget(self, collections: Iterable[str]) -> bool:
        """Forget all answers of these collections, of every one if none is named; return whether that was possible."""
        if await self.read_only.now():
            return False
        keys = [_PREFIX + name for name in collections]

        async def write() -> None:
            async with self._redis.pipeline(transaction=True) as batch:
                batch.unlink(*keys, _CHANGE)
                batch.set(_CHANGE, uuid4().hex)
                await batch.execute()

        try:
            keys = keys or await self._guard(self._find_keys)
            await self._guard(write)
        except ApiError:
            return False
        return True

    async def ready(self) -> None:
        """Return if Redis answers; raises ApiError."""
        await self._guard(lambda: self._redis.ping())

    async def close(self) -> None:
        """Close the connections."""
        await self._pipeline.close()
        await self._redis.aclose()

    async def _held(self) -> bool:
        """Return whether the channel has a subscriber; False if Redis does not answer."""

        async def subscribers() -> int:
            try:
                return sum(number for _, number in await self._redis.pubsub_numsub(CHANNEL))
            except ResponseError:  # its ACL does not let us ask: it answers, so this is no failure
                return 0

        try:
            return bool(await self._guard(subscribers))
        except ApiError:
            return False

    async def _find_keys(self) -> list[Any]:
        return [key async for key in self._redis.scan_iter(match=f"{_PREFIX}*", count=1000)]

    async def _send(self, *commands: Command) -> list[Any]:
        async def run() -> list[Any]:
            try:
                return await self._pipeline.execute(*commands)
            except RedisTimeoutError as error:  # of all that wait for the connection at once: counted once
                raise SlowError("redis", "TimeoutError") from error
            except (RedisError, OSError) as error:
                raise DependencyFailedError("redis", f"{type(error).__name__}") from error

        return await self.breaker.call_inline(run)

    async def _guard(self, command: Any) -> Any:
        async def run() -> Any:
            try:
                return await command()
            except (RedisError, OSError) as error:
                raise DependencyFailedError("redis", f"{type(error).__name__}") from error

        return await self.breaker.call(run)


def _field(question: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(question).encode()).hexdigest()


class _Connection(psycopg.AsyncConnection[Any]):
    """Tries every password that may be good now: PostgreSQL has one, and changes it at an instant of its own."""

    @classmethod
    async def connect(cls, conninfo: str = "", *, password: Any = None, **named: Any) -> _Connection:
        """As the class above does it; `password` is asked for its values."""
        *others, last = password() or ("",)
        for value in others:
            with suppress(psycopg.OperationalError):
                return await super().connect(conninfo, password=value, **named)
        return await super().connect(conninfo, password=last, **named)


class Database:
    """The metadata database as the application role; every call raises ApiError if it does not answer."""

    def __init__(self, config: DatabaseConfig, password: Secret, breaker: Breaker) -> None:
        self.breaker = breaker
        self._pool = AsyncConnectionPool(
            connection_class=_Connection,
            kwargs={
                "host": config.host,
                "port": config.port,
                "dbname": config.dbname,
                "user": config.user,
                "password": password,
                "connect_timeout": 2,
                "application_name": "ragops-api",
                "autocommit": True,
                "options": f"-c statement_timeout={int(_DATABASE_SECONDS * 1000)}",
            },
            min_size=1,
            max_size=4,
            timeout=1.0,
            # Given up so soon, the next request has it tried again at once. The pool's own tries come 1, 2, 4, 8 s
            # apart, and a request in between is refused though the database is back, as after a restore.
            reconnect_timeout=_RECONNECT_SECONDS,
            check=AsyncConnectionPool.check_connection,
            open=False,
            name="ragops-api",
        )

    async def open(self) -> None:
        """Start connecting, without waiting for it: the service runs without its database too."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close(timeout=2)

    async def ready(self) -> None:
        """Return if the schema can be read; raises ApiError."""
        await self.rows("SELECT 1 FROM rag.collections LIMIT 1")

    async def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a query."""

        async def run() -> list[tuple[Any, ...]]:
            try:
                async with self._pool.connection() as connection:
                    cursor = await connection.execute(statement, parameters)
                    return await cursor.fetchall()
            except _NO_SCHEMA as error:
                raise SchemaMissingError from error
            except (psycopg.Error, PoolTimeout) as error:
                raise DependencyFailedError("database", type(error).__name__) from error

        return await self.breaker.call(run)

    async def insert(self, statement: str, row: Sequence[object]) -> None:
        """Run a statement for a row; raises psycopg.Error if the row itself is at fault."""

        async def write(cursor: psycopg.AsyncCursor[Any]) -> None:
            await cursor.execute(statement, row)

        await self._write(write)

    async def copy(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run `COPY … FROM STDIN` with rows, all or none; raises psycopg.Error if the rows themselves are at fault."""

        async def write(cursor: psycopg.AsyncCursor[Any]) -> None:
            async with cursor.copy(statement) as copy:
                for row in rows:
                    await copy.write_row(row)

        await self._write(write)

    async def _write(self, write: Callable[[psycopg.AsyncCursor[Any]], Awaitable[None]]) -> None:
        async def run() -> psycopg.Error | None:
            try:
                async with (
                    self._pool.connection() as connection,
                    connection.transaction(),
                    connection.cursor() as cursor,
                ):
                    await write(cursor)
                    return None
            except (psycopg.DataError, psycopg.IntegrityError) as error:
                return error  # the rows are at fault: another try would not help, and the database did its part
            except _NO_SCHEMA as error:
                raise SchemaMissingError from error
            except (psycopg.Error, PoolTimeout) as error:
                raise DependencyFailedError("database", type(error).__name__) from error

        if (fault := await self.breaker.call(run)) is not None:
            raise fault
