"""Brings parts of a recovery point back to files as their engines wrote them, each checked on its way."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from ragops.adapters.files import make_dir
from ragops.adapters.progress import Progress, make_byte_counter
from ragops.services.backup_checks import need_space
from ragops.services.contract import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ragops.adapters.progress import OnProgress
    from ragops.recovery.manifest import ManifestPart
    from ragops.recovery.point import RecoveryPoint
    from ragops.recovery.repositories import Repositories

_MARGIN = 64 << 20  # bytes
_HINT = "free some space, name another folder as `backup.staging`, or restore one `--service` at a time"


@contextlib.contextmanager
def staged_parts(
    repos: Repositories, point: RecoveryPoint, parts: Sequence[ManifestPart], on_progress: OnProgress
) -> Iterator[Path]:
    """Return a folder with `parts` as `<service>/<name>`, gone when the block ends; both checksums of every part hold.

    Raises IntegrityError (recovery_point_damaged), MissingError (identity_missing, disk_full), UsageError
    (identity_wrong).
    """
    point.verify_sizes(parts)
    identities = repos.load_identities(point)
    with repos.staging_folder() as folder:
        needed = sum(part.size for part in parts) + _MARGIN
        need_space("unpack the recovery point", f"in {folder.parent}", shutil.disk_usage(folder).free, needed, _HINT)
        for part in parts:
            make_dir(folder / part.service, 0o700)
            _fetch(point, part, folder / part.path, identities, on_progress)
        yield folder


def _fetch(
    point: RecoveryPoint, part: ManifestPart, target: Path, identities: tuple[object, ...], on_progress: OnProgress
) -> None:
    size = part.stored.size
    point.fetch(part, target, identities, make_byte_counter(on_progress, part.path, "fetching", size))
    on_progress(Progress(part.path, "fetched, checksums hold", final=True, done=size, total=size))


def engine_part(part: ManifestPart) -> Part:
    """Return the part as its engine knows it."""
    return Part(part.name, part.instant, part.counts, part.versions, part.notes)
