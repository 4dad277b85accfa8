"""The storage folder: its lock, its collections, its aliases. What was acknowledged is there after a crash."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
from typing import TYPE_CHECKING
from uuid import uuid4

from ragops.adapters.files import SECRET_MODE, explain_os_error, make_dir, sync_dir, write_atomic
from ragops.devserver.qdrant.collection import Collection, check_space, remove
from ragops.devserver.qdrant.errors import bad_input, exists, no_collection
from ragops.devserver.qdrant.places import COLLECTIONS
from ragops.errors import LockedError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ragops.devserver.qdrant.creation import Settings

_FORMAT = 1
_log = logging.getLogger(__name__)


class Storage:
    """The collections in a folder; callers hold the catalogue's lock for changes (see engine.py)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.incoming = folder / "incoming"
        self.collections: dict[str, Collection] = {}
        self.aliases: dict[str, str] = {}
        self.unknown: dict[str, str] = {}
        self.peer_id = 0
        self._home = folder / COLLECTIONS
        self._lock = -1

    def open(self) -> None:
        """Take the lock, clear what a crash left, open every collection.

        Raises LockedError (storage_locked), MissingError (disk_full), RagopsError (not_permitted, storage_unreadable).
        """
        make_dir(self.folder, 0o700)
        try:
            self._take_lock()
        except OSError as error:
            raise explain_os_error(error, f"lock the storage in {self.folder}") from error
        try:
            self._read_identity()
            for path in (self._home, self.incoming):
                make_dir(path, 0o700)
            for leftover in (*self._home.glob(".*"), *self.incoming.iterdir()):
                remove(leftover)
            for path in sorted(self._home.iterdir()):
                self._find(path)
            self._read_aliases()
        except (OSError, ValueError) as error:
            what = f"cannot read the storage in {self.folder}: {error}"
            raise RagopsError("storage_unreadable", what, "bring a recovery point back: `ragops restore`") from error

    def _find(self, path: Path) -> None:
        """Open one collection; a folder without readable settings is left alone, and reported."""
        try:
            collection = Collection.found(path)
            collection.recover()
        except (OSError, ValueError) as error:
            self.unknown[path.name] = str(error)
            return
        collection.open()
        self.collections[collection.name] = collection

    def close(self) -> None:
        """Write everything to disk and give the lock back; what cannot be written is in the log of its shard."""
        for collection in self.collections.values():
            try:
                collection.close()
            except Exception:
                _log.exception("a collection could not be flushed", extra={"collection": collection.name})
        os.close(self._lock)

    def _take_lock(self) -> None:
        self._lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, SECRET_MODE)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._lock)
            what = f"the storage in {self.folder} is open in another process (pid {holder})"
            raise LockedError("storage_locked", what, "end that one first: `ragops status` shows it") from error
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _read_identity(self) -> None:
        """Read the format of the folder, and the number of this node in answers about shards."""
        path = self.folder / "engine.json"
        if not path.exists():
            identity = {"format": _FORMAT, "peer_id": secrets.randbits(53)}
            write_atomic(path, json.dumps(identity) + "\n", SECRET_MODE)
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != _FORMAT:
            raise ValueError(f"its format is {values['format']}, this ragops reads {_FORMAT}")
        self.peer_id = int(values["peer_id"])

    # --- names --------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Collection:
        """Return the collection by its name or by an alias. Raises ApiError (404)."""
        found = self.collections.get(self.aliases.get(name, name))
        if found is None:
            raise no_collection(name)
        return found

    def faults(self) -> dict[str, str]:
        """Return what could not be opened, by collection (or by folder if its name is unknown), and why."""
        broken = {name: collection.fault for name, collection in self.collections.items() if collection.fault}
        return {**self.unknown, **broken}

    def check_new(self, name: str) -> None:
        """Raise ApiError if a collection cannot take `name`: 409, or 400 if an alias has it."""
        if name in self.collections:
            raise exists(name)
        if name in self.aliases:
            what = f"Can't create collection with name {name}. Alias with the same name already exists"
            raise bad_input(what)

    # --- changes ------------------------------------------------------------------------------------------------

    def create(self, settings: Settings) -> None:
        """Create a collection in a temporary folder, then rename it into its place."""
        final = self._home / uuid4().hex
        draft = final.with_name(f".new-{final.name}")
        check_space(self._home)
        try:
            Collection(draft, settings).create()
            draft.rename(final)
        except BaseException:
            remove(draft)
            raise
        sync_dir(self._home)
        collection = Collection(final, settings)
        collection.open()
        self.collections[settings.name] = collection

    def delete(self, collection: Collection) -> None:
        """Take a collection out in one rename, and its aliases; then remove the files."""
        doomed = collection.folder.with_name(f".deleted-{collection.folder.name}")
        collection.gone = True
        try:
            collection.close()
        finally:
            collection.folder.rename(doomed)
            sync_dir(self._home)
            del self.collections[collection.name]
        kept = {alias: target for alias, target in self.aliases.items() if target != collection.name}
        if kept != self.aliases:
            self.write_aliases(kept)
        remove(doomed)

    def write_aliases(self, aliases: Mapping[str, str]) -> None:
        """Replace all aliases at once."""
        write_atomic(self.folder / "aliases.json", json.dumps(dict(aliases), indent=2) + "\n", SECRET_MODE)
        self.aliases = dict(aliases)

    def _read_aliases(self) -> None:
        """Those whose collection is there: a deletion may have been cut off between the two."""
        path = self.folder / "aliases.json"
        if path.exists():
            stored: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
            self.aliases = {alias: name for alias, name in stored.items() if name in self.collections}
