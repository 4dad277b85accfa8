"""Local cache of a remote repository's manifests: they never change, and reading a thousand of them is slow."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING

from ragops.adapters.files import SECRET_MODE, write_atomic
from ragops.errors import InterruptedRunError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ragops.adapters.storage import Store

_AWAY = "repository_unreachable"
_ANY_BYTES = "surrogateescape"  # one that is damaged is kept as it is: it is not read every time either


class TolerantReader:
    """A reader of `store` for which a file that cannot be read hides no others; `failures` states which and why.

    Raises what the store raises if it is not one file's fault.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.failures: dict[str, RagopsError] = {}

    def read_all(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Many at once, and one by one if that fails."""
        wanted = list(paths)
        try:
            return self._store.read_all(wanted)
        except RagopsError as error:
            if len(wanted) == 1:
                self.failures[wanted[0]] = error
                return {}
            if isinstance(error, InterruptedRunError) or (self._store.is_remote and error.code == _AWAY):
                raise
        return {path: text for one in wanted for path, text in self.read_all([one]).items()}

    @property
    def failures_by_folder(self) -> dict[str, RagopsError]:
        """The failures by the name of the folder that the file lies in."""
        return {path.split("/")[-2]: error for path, error in self.failures.items()}


class ManifestCache:
    """One file of texts by path and etag; without a folder nothing is cached. Failures of the cache are ignored."""

    def __init__(self, folder: Path | None, name: str) -> None:
        self._path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json" if folder else None

    def read(self, reader: TolerantReader, wanted: Mapping[str, str | None]) -> Mapping[str, bytes]:
        """Return the content of each file by its path, from the cache if its etag is unchanged.

        `wanted` has the etag for each path; for None, the content that was read before counts, whatever its etag was.
        """
        known = self._load()
        keys = {key.partition(" ")[0]: key for key in known}
        there = {
            path: keys[path]
            for path, etag in wanted.items()
            if path in keys and (etag is None or keys[path] == f"{path} {etag}")
        }
        fresh = reader.read_all([path for path in wanted if path not in there])
        found = {**{path: known[key].encode(errors=_ANY_BYTES) for path, key in there.items()}, **fresh}
        if self._path and (fresh or len(there) < len(known)):
            self._save({there.get(path, f"{path} {wanted[path] or ''}"): text for path, text in found.items()})
        return found

    def _load(self) -> dict[str, str]:
        if self._path is None:
            return {}
        try:
            values = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        good = isinstance(values, dict) and all(isinstance(text, str) for text in values.values())
        return values if good else {}

    def _save(self, texts: Mapping[str, bytes]) -> None:
        if self._path:
            with contextlib.suppress(RagopsError):
                content = json.dumps({key: text.decode(errors=_ANY_BYTES) for key, text in texts.items()})
                write_atomic(self._path, content, SECRET_MODE)
