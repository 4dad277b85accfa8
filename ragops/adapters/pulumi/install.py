"""Find the pinned Pulumi engine, or install it into the cache of ragops."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters.pulumi.pins import ENGINE_HINT, ENGINE_VERSION, RELEASE_URLS
from ragops.errors import IntegrityError, LockedError, MissingError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_VERSION_SECONDS = 30
_LOCK_SECONDS = 3600


@dataclass(frozen=True)
class Engine:
    """A usable engine: its binary, the version that it reports, and its origin.

    `source` is one of RAGOPS_PULUMI, PATH, cache.
    """

    path: Path
    version: str
    source: str


def ignore(_line: str) -> None:
    """Take a progress line or a note and do nothing with it."""


def cache_dir() -> Path:
    """Return the cache folder of ragops for this user, RAGOPS_CACHE_DIR if that is set."""
    if own := os.environ.get("RAGOPS_CACHE_DIR"):
        return Path(own).absolute()
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification has relative values ignored.
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "ragops"


def installed_dir() -> Path:
    """Return the folder that `install` makes; the binary is `bin/pulumi` below it."""
    return cache_dir() / "pulumi" / ENGINE_VERSION


# --- finding ---------------------------------------------------------------------------------------------------


def find(note: Callable[[str], None] = ignore) -> Engine | None:
    """Return the engine: of RAGOPS_PULUMI, PATH, or the cache of ragops, in this order; None if there is none.

    `note` receives why an engine on PATH is not used. MissingError if RAGOPS_PULUMI is set and wrong.
    """
    return _from_variable() or _from_path(note) or _from_cache()


def require(note: Callable[[str], None] = ignore) -> Engine:
    """Return the engine as `find`; raise MissingError (engine_missing) if there is none."""
    engine = find(note)
    if engine is None:
        raise MissingError("engine_missing", f"the Pulumi engine {ENGINE_VERSION} is not installed", ENGINE_HINT)
    return engine


def _from_variable() -> Engine | None:
    value = os.environ.get("RAGOPS_PULUMI")
    if not value:
        return None
    path = Path(value).absolute()
    version = read_version(path)
    if version is None:
        raise _wrong_variable(f"RAGOPS_PULUMI is {path}, which is not a Pulumi engine that runs")
    if not _is_compatible(version):
        raise _wrong_variable(f"RAGOPS_PULUMI is {path}, version {version}; ragops needs {ENGINE_VERSION}")
    return Engine(path, version, "RAGOPS_PULUMI")


def _wrong_variable(message: str) -> MissingError:
    return MissingError("engine_wrong", message, f"unset RAGOPS_PULUMI and {ENGINE_HINT}")


def _from_path(note: Callable[[str], None]) -> Engine | None:
    found = shutil.which("pulumi")
    if found is None:
        return None
    path = Path(found).absolute()
    version = read_version(path)
    if version is not None and _is_compatible(version):
        return Engine(path, version, "PATH")
    note(f"{path} is left alone: it is version {version or 'unknown'}, ragops needs {ENGINE_VERSION}")
    return None


def _from_cache() -> Engine | None:
    path = installed_dir() / "bin" / "pulumi"
    # Its version was verified before it was put there; asking again would cost every command 0.2 s.
    return Engine(path, ENGINE_VERSION, "cache") if os.access(path, os.X_OK) and path.is_file() else None


def read_version(path: Path) -> str | None:
    """Return the version that the engine at `path` reports, such as 3.259.0; None if it does not run or answer."""
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        answer = subprocess.run(
            [path, "version"],
            capture_output=True,
            text=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=_VERSION_SECONDS,
            check=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    match = re.fullmatch(r"v?(\d+\.\d+\.\d+\S*)", answer.stdout.strip())
    return match[1] if match else None


def _is_compatible(version: str) -> bool:
    return version.split(".")[:2] == ENGINE_VERSION.split(".")[:2]


# --- installing ------------------------------------------------------------------------------------------------


class Source(StrEnum):
    """The source of an engine that is not installed."""

    DOWNLOAD = "download"
    BUILD = "build"
    EITHER = "either"


def install(
    source: Source = Source.DOWNLOAD,
    progress: Callable[[str], None] = ignore,
    urls: Sequence[str] = RELEASE_URLS,
) -> Engine:
    """Return the engine of `find`; if there is none, get it from `source`, verify it and put it into the cache.

    `urls` are the folders asked for the release, in order; EITHER builds if none of them can be reached. Raises
    MissingError if it cannot be had, IntegrityError if what came is not what was published, LockedError if another
    install does not end within the hour.
    """
    found = find(progress)
    if found is not None:
        return found
    try:
        with _install_lock(progress):
            return _from_cache() or _install_locked(source, progress, urls)
    except OSError as error:
        hint = "set RAGOPS_CACHE_DIR to a folder that you may write and that has room, and run it again"
        raise RagopsError("engine_install_failed", f"cannot install the engine: {error}", hint) from error


@contextmanager
def _install_lock(progress: Callable[[str], None]) -> Iterator[None]:
    from filelock import FileLock, Timeout

    folder = installed_dir().parent
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".install.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress("another install is under way: waiting for it")
        try:
            lock.acquire(timeout=_LOCK_SECONDS)
        except Timeout as error:
            message = f"another install of the engine has not ended within {_LOCK_SECONDS // 60} minutes"
            raise LockedError("engine_install_locked", message, "end it, then run it again") from error
    try:
        yield
    finally:
        lock.release()


def _install_locked(source: Source, progress: Callable[[str], None], urls: Sequence[str]) -> Engine:
    final = installed_dir()
    _sweep(final)
    stage = Path(tempfile.mkdtemp(prefix=f".{ENGINE_VERSION}-", dir=final.parent))
    try:
        _fill(stage, source, progress, urls)
        # rename() takes no folder that has something in it: all that can be there is an install somebody damaged.
        shutil.rmtree(final, ignore_errors=True)
        (stage / "ready").rename(final)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    path = final / "bin" / "pulumi"
    progress(f"installed {path}")
    return Engine(path, ENGINE_VERSION, "cache")


def _sweep(final: Path) -> None:
    """Remove what killed installs left; the lock is held, so no other install runs."""
    for left in final.parent.glob(f".{ENGINE_VERSION}-*"):
        shutil.rmtree(left, ignore_errors=True)


def _fill(stage: Path, source: Source, progress: Callable[[str], None], urls: Sequence[str]) -> None:
    """Make `ready/bin/pulumi` below `stage`, verified by running it."""
    # Imported here: every command looks for an engine, few install one.
    from ragops.adapters.pulumi import source as pulumi_source

    binary = stage / "ready" / "bin" / "pulumi"
    binary.parent.mkdir(parents=True)
    if source is Source.BUILD or not _download(stage, binary, source, progress, urls):
        pulumi_source.build(ENGINE_VERSION, stage, binary, progress)
    version = read_version(binary)
    if version != ENGINE_VERSION:
        message = f"the new engine reports version {version or 'none'} instead of {ENGINE_VERSION}"
        raise IntegrityError("engine_version", message, "nothing was installed; run it again")


def _download(stage: Path, binary: Path, source: Source, progress: Callable[[str], None], urls: Sequence[str]) -> bool:
    """Return whether the engine was downloaded; False only if it may be built instead."""
    from ragops.adapters.pulumi import download as pulumi_download

    try:
        pulumi_download.download(ENGINE_VERSION, urls, stage, binary, progress)
    except MissingError as error:
        if source is not Source.EITHER or error.code != "engine_missing":
            raise
        progress(f"{error.message}; building it from source instead")
        return False
    return True
