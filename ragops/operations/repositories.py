"""Repositories and keys of an environment by its ragops.yaml, and the checks of them that `doctor` makes."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters.project_owner import is_own_project
from ragops.adapters.storage.folder import FolderStore
from ragops.adapters.storage.open import open_store
from ragops.errors import RagopsError, StoreRefusedError
from ragops.recovery.local_history import History
from ragops.recovery.repositories import Repositories
from ragops.recovery.repository import Repository
from ragops.services.contract import Check, Status
from ragops.units import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.adapters.storage import Store
    from ragops.config.load import Project

_LITTLE = 2 << 30  # bytes


def open_repositories(project: Project, identity: Path | None = None) -> Repositories:
    """Return repositories and keys of the environment; `identity` opens recovery points, else the configured one.

    Nothing is connected yet. Raises UsageError, MissingError if a repository's options cannot be read.
    """
    paths, settings = project.paths, project.settings.backup
    cache = (
        paths.cache if is_own_project(paths.root) else None
    )  # root may look at another user's project, and leaves nothing
    places = (settings.repository, *settings.copies)
    stores = [(open_store(place, paths.root), place.append_only) for place in places]
    named = paths.root / settings.identity_file if settings.identity_file else None
    return Repositories(
        members=tuple(
            Repository(store, paths.environment, cache, append_only=append_only) for store, append_only in stores
        ),
        staging=staging_of(project),
        signing_key_file=paths.signing_key,
        recipients=settings.recipients,
        verify_keys=settings.verify_keys,
        identity_file=identity or named,
        history=History(paths.history),
    )


def staging_of(project: Project) -> Path:
    """Return the folder that parts pass through."""
    named, paths = project.settings.backup.staging, project.paths
    return paths.root / named / paths.environment if named else paths.staging


def options_files(project: Project) -> dict[str, Path]:
    """Return the files with keys of the repositories that lie inside the project, by their path there."""
    settings, root = project.settings.backup, project.paths.root
    named = (place.options_file for place in (settings.repository, *settings.copies) if place.options_file)
    inside = (Path(os.path.normpath(root / name)) for name in named)
    return {path.relative_to(root).as_posix(): path for path in inside if path.is_relative_to(root)}


def findings(project: Project) -> tuple[Check, ...]:
    """Return the checks of `doctor`: a few bytes are written to each repository and read back."""
    try:
        repos = open_repositories(project)
    except RagopsError as error:
        return (Check("repository", Status.DEGRADED, error.message, error.hint),)
    return (*map(_finding, repos.members), _staging(repos))


def _finding(repository: Repository) -> Check:
    try:
        removes = _try_writing(repository)
        free = repository.store.free_bytes()
    except RagopsError as error:
        return Check("repository", Status.DEGRADED, f"{repository.name}: {error.message}", error.hint)
    if free is not None and free < _LITTLE:
        hint = "free some space, or `ragops backup prune`"
        return Check("repository", Status.DEGRADED, f"{repository.name}: {size(free)} free", hint)
    room = f", {size(free)} free" if free is not None else ""
    if not removes and not repository.append_only:
        hint = "set `append_only: true` for it in ragops.yaml, and run `ragops backup prune` where the key may remove"
        return Check("repository", Status.DEGRADED, f"{repository.name} takes new files only: no prune here", hint)
    only = "" if removes else ", takes new files only"
    return Check("repository", Status.OK, f"{repository.name}{room}{only}")


def _try_writing(repository: Repository) -> bool:
    """Write a small file, read and remove it; returns whether it may be removed. Raises RagopsError.

    Folders that are made for it go again.
    """
    path = f"{repository.environment}/doctor-{secrets.token_hex(4)}"
    with _without_new_folders(repository.store):
        return _try_file(repository, path)


@contextlib.contextmanager
def _without_new_folders(store: Store) -> Iterator[None]:
    """Remove the folders of a repository at the end if they were not there before and are empty."""
    folder = store.folder.absolute() if isinstance(store, FolderStore) else None
    missing = [path for path in (folder, *folder.parents) if not path.exists()] if folder else []
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            for path in missing:
                path.rmdir()


def _try_file(repository: Repository, path: str) -> bool:
    with repository.store.open_write(path) as stream:
        stream.write(b"written by ragops doctor\n")
    removes = True
    try:
        with repository.store.open_read(path) as stream:
            stream.read()
    finally:
        try:
            repository.store.remove([path])
        except StoreRefusedError:
            removes = False
    return removes


def _staging(repos: Repositories) -> Check:
    there = next(folder for folder in (repos.staging, *repos.staging.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    if free < _LITTLE:
        hint = "name a folder with more room as `backup.staging`: parts pass through it"
        return Check("staging", Status.DEGRADED, f"{repos.staging}: {size(free)} free", hint)
    return Check("staging", Status.OK, f"{repos.staging}, {size(free)} free")
