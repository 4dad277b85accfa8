"""Runs what blocks in threads, under locks that the event loop holds: the storage as request handlers see it."""

from __future__ import annotations

import asyncio
import logging
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from ragops.devserver.qdrant import aliases, snapshots
from ragops.devserver.qdrant.gate import Gate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from ragops.devserver.qdrant.collection import Collection
    from ragops.devserver.qdrant.creation import Settings
    from ragops.devserver.qdrant.storage import Storage
    from ragops.devserver.qdrant.values import Json

T = TypeVar("T")

_THREADS = 8
_FLUSH_SECONDS = 5.0
_log = logging.getLogger(__name__)


@dataclass
class _Locks:
    """Of one collection: reads and writes share `gate`, what closes the shard has it alone; `writer` orders writes."""

    gate: Gate = field(default_factory=Gate)
    writer: asyncio.Lock = field(default_factory=asyncio.Lock)


class Engine:
    """Every method ends what it began even where its caller is cancelled, so that no lock is freed too early."""

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
            await self._run(self.storage.close)
            self._pool.shutdown()

    async def read(self, name: str, work: Callable[[Collection], T]) -> T:
        """Do `work` on the collection in parallel to other reads and writes."""
        collection = self.storage.get(name)

        async def guarded() -> T:
            async with self._of(collection).gate.shared():
                return await self._run(work, collection)

        return await self._finish(guarded())

    async def write(self, name: str, work: Callable[[Collection], T]) -> T:
        """Do `work`, one such at a time on each collection."""
        collection = self.storage.get(name)

        async def guarded() -> T:
            locks = self._of(collection)
            async with locks.writer, locks.gate.shared():
                return await self._run(work, collection)

        return await self._finish(guarded())

    async def snapshot(self, name: str) -> Json:
        """Take a shard snapshot; everything else on the collection waits."""
        collection = self.storage.get(name)

        async def guarded() -> Json:
            async with self._of(collection).gate.alone():
                return await self._run(snapshots.create, collection)

        return await self._finish(guarded())

    async def upload(self, name: str, path: Path, checksum: str | None) -> None:
        """Check the snapshot in `path` while reads continue, then let it replace the shard."""
        collection = self.storage.get(name)

        async def guarded() -> None:
            locks = self._of(collection)
            free = shutil.disk_usage(self.storage.folder).free
            async with locks.writer:
                async with locks.gate.shared():
                    points = await self._run(snapshots.accept, collection, path, checksum, free)
                async with locks.gate.alone():
                    collection.refuse_if_gone()
                    await self._run(collection.swap)
            _log.info("snapshot put in place", extra={"collection": collection.name, "points": points})

        await self._finish(guarded())

    async def create(self, settings: Settings) -> None:
        """Make a collection. Raises ApiError (409, 400)."""

        async def guarded() -> None:
            async with self._catalogue:
                self.storage.check_new(settings.name)
                await self._run(self.storage.create, settings)

        await self._finish(guarded())

    async def delete(self, name: str) -> bool:
        """Delete a collection by its own name; False if there is none."""

        async def guarded() -> bool:
            async with self._catalogue:
                collection = self.storage.collections.get(name)
                if collection is None:
                    return False
                async with self._of(collection).gate.alone():
                    await self._run(self.storage.delete, collection)
                return True

        return await self._finish(guarded())

    async def change_aliases(self, body: Json) -> None:
        """Carry out all changes of aliases or none."""

        async def guarded() -> None:
            async with self._catalogue:
                await self._run(
                    self.storage.write_aliases, aliases.changed(body, self.storage.aliases, self.storage.collections)
                )

        await self._finish(guarded())

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do in a thread what needs no lock."""
        return await self._run(work, *arguments)

    # --- how ----------------------------------------------------------------------------------------------------

    def _of(self, collection: Collection) -> _Locks:
        return self._locks.setdefault(collection, _Locks())

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    async def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

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
