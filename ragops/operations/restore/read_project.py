"""The project's files in a recovery point, staged to be read: settings, and the archive of secrets."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.errors import IntegrityError
from ragops.hints import OTHER_POINT
from ragops.operations.backup.project_archive import SEALED_PART
from ragops.operations.backup.staging import staged_parts
from ragops.recovery.manifest import PLATFORM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ragops.adapters.progress import Progress
    from ragops.recovery.point import RecoveryPoint
    from ragops.recovery.repositories import Repositories


@dataclass(frozen=True)
class ProjectFiles:
    """ragops.yaml, its overlay if there is one, and the archive of secrets if it was asked for and is there."""

    config: Path
    overlay: Path | None
    sealed: Path | None = None

    @property
    def settings(self) -> tuple[Path, ...]:
        """The files of settings, the later over the earlier."""
        return (self.config, *([self.overlay] if self.overlay else []))


@contextlib.contextmanager
def project_files(
    repos: Repositories, point: RecoveryPoint, on_progress: Callable[[Progress], None], *, secrets: bool
) -> Iterator[ProjectFiles]:
    """Return the files, gone when the block ends; the secrets only if they are asked for.

    Raises IntegrityError (project_files_missing), and as `staged_parts`.
    """
    parts = [part for part in point.manifest.parts_of(PLATFORM) if secrets or part.name != SEALED_PART]
    # An overlay is called as the file that it lies over, with the environment in its name: it is the longer one.
    names = sorted((part.name for part in parts if part.name != SEALED_PART), key=len)
    if len(names) not in (1, 2):
        what = f"recovery point {point.id} has {len(names)} files of settings, not one or two"
        raise IntegrityError("project_files_missing", what, OTHER_POINT)
    with staged_parts(repos, point, parts, on_progress) as folder:
        own = folder / PLATFORM
        sealed = own / SEALED_PART
        overlay = own / names[1] if len(names) > 1 else None
        yield ProjectFiles(own / names[0], overlay, sealed if sealed.exists() else None)
