"""Runs what blocks in threads, under locks that the event loop holds: the storage as request handlers see it."""

from __future__ import annotations

import asyncio
import logging
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ragops.devserver.qdrant import aliases, snapshots

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from ragops.devserver.qdrant.collection import Collection
    from ragops.devserver.qdrant.creation import Settings
    from ragops.devserver.qdrant.storage import Storage
    from ragops.devserver.qdrant.values import Json


class Gate:
    """A lock for many readers or one writer; a waiting writer keeps new readers out, so that it gets its turn."""

    def __init__(self) -> None:
        self._inside = 0
        self._alone = False
        self._waiting = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Together with others."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._alone and not self._waiting)
            self._inside += 1
        try:
            yield
        finally:
            async with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Without anybody else."""
        async with self._changed:
            self._waiting += 1
            try:
                await self._changed.wait_for(lambda: not self._alone and not self._inside)
                self._alone = True
            finally:
                self._waiting -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            async with self._changed:
                self._alone = False
                self._changed.notify_all()


T = TypeVar("T")
Method = TypeVar("Method", bound="Callable[..., Coroutine[Any, Any, Any]]")

_THREADS = 8
_FLUSH_SECONDS = 5.0
_log = logging.getLogger(__name__)


@dataclass
class _Locks:
    """Of one collection: reads and writes share `gate`, what closes the shard has it alone; `writer` orders writes."""

    gate: Gate = field(default_factory=Gate)
    writer: asyncio.Lock = field(default_factory=asyncio.Lock)


def _finished(method: Method) -> Method:
    """Have the method end what it began even if its caller is cancelled, so that no lock is freed too early."""

    @wraps(method)
    async def finish(engine: Engine, *arguments: Any) -> Any:
        task = asyncio.create_task(method(engine, *arguments))
        engine._tasks.add(task)
        task.add_done_callback(engine._tasks.discard)
        return await asyncio.shield(task)

    return cast("Method", finish)


class Engine:
    """The storage as request handlers see it: every method waits for its locks, and works in a thread."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="edge")
        self._catalogue = asyncio.Lock()
        self._locks: weakref.WeakKeyDictionary[Collection, _Locks] = weakref.WeakKeyDictionary()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._flusher: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Flush in the background; at the end let everything finish and close the storage."""
        self._flusher = asyncio.create_task(self._flush_all())
        try:
            yield
        finally:
            self._flusher.cancel()
            with suppress(asyncio.CancelledError):
                await self._flusher
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.run(self.storage.close)
            self._pool.shutdown()

    @_finished
    async def read(self, name: str, work: Callable[[Collection], T]) -> T:
        """Do `work` on the collection in parallel to other reads and writes."""
        collection = self.storage.get(name)
        async with self._of(collection).gate.shared():
            return await self.run(work, collection)

    @_finished
    async def write(self, name: str, work: Callable[[Collection], T]) -> T:
        """Do `work`, one such at a time on each collection."""
        collection = self.storage.get(name)
        locks = self._of(collection)
        async with locks.writer, locks.gate.shared():
            return await self.run(work, collection)

    @_finished
    async def snapshot(self, name: str, file: str = "") -> Json:
        """Take a shard snapshot, called `file` if that is given; everything else on the collection waits."""
        collection = self.storage.get(name)
        async with self._of(collection).gate.alone():
            return await self.run(snapshots.create, collection, file)

    @_finished
    async def upload(self, name: str, path: Path, checksum: str | None) -> None:
        """Check the snapshot in `path` while reads continue, then let it replace the shard."""
        collection = self.storage.get(name)
        locks = self._of(collection)
        free = shutil.disk_usage(self.storage.folder).free
        async with locks.writer:
            async with locks.gate.shared():
                points = await self.run(snapshots.accept, collection, path, checksum, free)
            async with locks.gate.alone():
                collection.refuse_if_gone()
                await self.run(collection.swap)
        _log.info("snapshot put in place", extra={"collection": collection.name, "points": points})

    @_finished
    async def create(self, settings: Settings) -> None:
        """Create a collection. Raises ApiError (409, 400)."""
        async with self._catalogue:
            self.storage.check_new(settings.name)
            await self.run(self.storage.create, settings)

    @_finished
    async def delete(self, name: str) -> bool:
        """Delete a collection by its own name; False if there is none."""
        async with self._catalogue:
            collection = self.storage.collections.get(name)
            if collection is None:
                return False
            async with self._of(collection).gate.alone():
                await self.run(self.storage.delete, collection)
            return True

    @_finished
    async def change_aliases(self, body: Json) -> None:
        """Carry out all changes of aliases or none."""
        async with self._catalogue:
            changed = aliases.changed(body, self.storage.aliases, self.storage.collections)
            await self.run(self.storage.write_aliases, changed)

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do `work` in a thread, without a lock."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    # --- how ----------------------------------------------------------------------------------------------------

    def _of(self, collection: Collection) -> _Locks:
        return self._locks.setdefault(collection, _Locks())

    async def _flush_all(self) -> None:
        """Flush to disk: a kill loses nothing that was acknowledged, a power failure at most the last seconds."""
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            for name, collection in list(self.storage.collections.items()):
                if collection.dirty:
                    try:
                        await self.write(name, lambda found: found.flush())
                    except Exception:
                        _log.exception("flush failed", extra={"collection": name})
