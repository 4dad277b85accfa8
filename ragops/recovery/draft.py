"""A recovery point that is being written."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.recovery.manifest import FILE_NAME

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from ragops.adapters.storage import Store
    from ragops.recovery.lock import LockHandle


class Draft:
    """A recovery point that is being written; it is invisible until `publish`."""

    def __init__(self, store: Store, environment: str, sequence: int, held: LockHandle) -> None:
        self.created = datetime.now(tz=UTC)
        self.id = f"{self.created:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self.sequence = sequence
        self.path = f"{environment}/{self.id}"
        self.published = False
        self._store = store
        self._held = held
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return the seconds since its start."""
        return round(time.monotonic() - self._started, 3)

    def open_write(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a stream to the file `path` of the recovery point."""
        return self._store.open_write(f"{self.path}/{path}")

    def open_read(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open the written file `path` of the recovery point."""
        return self._store.open_read(f"{self.path}/{path}")

    def publish(self, content: bytes) -> None:
        """Put the manifest's file in place, while the lock is still ours."""
        self._held.check()
        with self._store.open_write(f"{self.path}/{FILE_NAME}") as stream:
            stream.write(content)
        self.published = True
