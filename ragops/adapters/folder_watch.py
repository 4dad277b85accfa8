"""Changes in folders, as the kernel reports them (inotify, FSEvents) to `watchfiles`.

Each folder is watched by itself: a watch of a tree would take one of the kernel's watches for every folder of
node_modules, too. `watchfiles.watch` has no such mode that reports a limit, so its engine is called directly.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ragops.errors import MissingError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterable

_STEP = 100  # milliseconds between two looks of the library at what has come, and at signals
_QUIET = 0.5  # seconds without a change, after which those before are a batch
_LONGEST = 10.0  # seconds; a folder that never rests is no reason to wait for ever
_LIMITS = {
    "file watch limit": ("fs.inotify.max_user_watches", 524288),
    "Too many open files": ("fs.inotify.max_user_instances", 1024),
}


@dataclass(frozen=True)
class Changes:
    """Paths of files and folders that changed; `lost`: there were others, of which nothing is known."""

    paths: frozenset[str] = field(default_factory=frozenset)
    lost: bool = False

    def __or__(self, other: Changes) -> Changes:
        return Changes(self.paths | other.paths, self.lost or other.lost)


class FolderWatch:
    """A set of folders that is watched, without the folders inside them. A context manager: it has a thread."""

    def __init__(self) -> None:
        self._open = _load()
        self._engine: Any = None
        self._folders: frozenset[str] = frozenset()

    def __enter__(self) -> FolderWatch:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def watch(self, folders: Iterable[str]) -> Changes:
        """Watch these folders from now on, and no others; return what changed before.

        A folder without a UTF-8 name, or that cannot be read, is left out. Raises FileNotFoundError if one is gone,
        RagopsError (watch_limit, watch_failed): none is watched then.
        """
        wanted = frozenset(folder for folder in folders if _is_watchable(folder))
        if wanted == self._folders:
            return Changes()
        old, self._engine, self._folders = self._engine, None, frozenset()
        try:
            if wanted:
                self._engine = self._start(wanted)
                self._folders = wanted
            return _next(old, 0.0) if old else Changes()  # what came before the new one began
        finally:
            if old:
                old.close()

    def wait(self, seconds: float) -> Changes:
        """Return the next changes, once there is a pause after them; none after so many seconds without one."""
        if self._engine is None:
            time.sleep(seconds)
            return Changes()
        found, end = _next(self._engine, seconds), time.monotonic() + _LONGEST
        while found.paths and not found.lost and time.monotonic() < end:
            more = _next(self._engine, _QUIET)
            found |= more
            if not more.paths:
                break
        if found.lost:  # it returns nothing else from then on
            self._close()
        return found

    def _start(self, folders: Iterable[str]) -> Any:
        try:
            # The last argument would have it ignore every failure, the limits too.
            return self._open(sorted(folders), False, False, 0, False, False)
        except FileNotFoundError:
            raise
        except PermissionError as error:  # its rights changed just now
            raise FileNotFoundError(*error.args) from error
        except (OSError, RuntimeError) as error:
            raise _translate(error, len(list(folders))) from error

    def _close(self) -> None:
        engine, self._engine, self._folders = self._engine, None, frozenset()
        if engine:
            engine.close()


def _next(engine: Any, seconds: float) -> Changes:
    try:
        found = engine.watch(round(_LONGEST * 1000), _STEP, max(1, round(seconds * 1000)), None)
    except RuntimeError:  # a name that is not UTF-8
        return Changes(lost=True)
    if found == "signal":
        raise KeyboardInterrupt
    return Changes() if isinstance(found, str) else Changes(frozenset(path for _, path in found))


def _is_watchable(folder: str) -> bool:
    with contextlib.suppress(UnicodeEncodeError):
        folder.encode()
        return os.access(folder, os.R_OK)
    return False


def _load() -> Any:
    try:
        from watchfiles._rust_notify import RustNotify
    except ImportError as error:
        what = f"cannot watch folders: {error}"
        raise MissingError("watcher_missing", what, "install it: `pip install 'watchfiles>=1.0,<2'`") from error
    return RustNotify


def _translate(error: Exception, folders: int) -> RagopsError:
    for words, (setting, value) in _LIMITS.items():
        if words in str(error):
            what = f"cannot watch {folders} folders: the kernel's limit {setting} is reached"
            hint = f"raise it: `sysctl {setting}={value}`, and write it to /etc/sysctl.d/ to keep it"
            return RagopsError("watch_limit", what, hint)
    return RagopsError("watch_failed", f"cannot watch {folders} folders: {error}")
