"""Takes recovery points, copies and verifies them. The caller holds the backup lock and writes the audit line."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ragops
from ragops.adapters.progress import ignore_progress
from ragops.errors import MissingError, RagopsError, UnhealthyError
from ragops.operations.backup import replicate as copies
from ragops.operations.backup.part_writer import BackupWriter
from ragops.operations.backup.point_condition import Findings, held_by
from ragops.operations.backup.project_archive import add_project
from ragops.recovery.manifest import FORMAT, Kind, Manifest
from ragops.recovery.repository import LockRequest, publish

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import datetime

    from ragops.adapters.progress import OnProgress
    from ragops.operations.backup.point_condition import Condition
    from ragops.operations.backup.quiesce import PausedWrites
    from ragops.operations.backup.replicate import CopyResult
    from ragops.operations.session import Platform
    from ragops.recovery.manifest import ManifestPart
    from ragops.recovery.point import Draft, RecoveryPoint
    from ragops.recovery.repositories import Repositories

_DEFAULT_JOBS = 2


@dataclass(frozen=True)
class BackupRequest:
    """What to take: of `services` (None: all), `jobs` parts at once, marked `keep` for prune to leave it."""

    kind: Kind = Kind.BACKUP
    services: tuple[str, ...] | None = None
    jobs: int = _DEFAULT_JOBS
    keep: bool = False


@dataclass(frozen=True)
class BackupResult:
    """A recovery point that was taken, and its copies, each of which was read back too.

    `restore_command` is the command that restores the newest good one from before, empty if there is none; `lost`:
    nothing is down, and something that was there before is gone.
    """

    point: RecoveryPoint
    copies: tuple[CopyResult, ...] = ()
    restore_command: str = ""
    lost: bool = False

    def require_healthy(self) -> None:
        """Raise UnhealthyError (platform_unhealthy) if the platform was down when it was taken."""
        if faults := self.point.manifest.unhealthy:
            rows = "".join(f"\n  {fault}" for fault in faults)
            what = (
                f"recovery point {self.point.id} was taken of a platform that is down or has lost data; it is marked,"
                f" is never `latest` and fills no day of retention:{rows}"
            )
            back = (
                f"bring the newest from before back: {self.restore_command}"
                if self.restore_command
                else "see `ragops health`"
            )
            accept = "; if what is gone was removed on purpose: `ragops backup run --accept-loss`" if self.lost else ""
            raise UnhealthyError("platform_unhealthy", what, f"{back}{accept}")

    def require_copies(self) -> None:
        """Raise RagopsError (copy_failed) if one did not happen: a copy that was asked for is no extra."""
        failed = [copy for copy in self.copies if copy.error]
        if failed and failed[0].error:
            rows = "".join(f"\n  {copy.repository}: {copy.error.message}" for copy in failed if copy.error)
            what = (
                f"recovery point {self.point.id} is whole, but lacks {len(failed)} of {len(self.copies)} copies:{rows}"
            )
            hint = f"{failed[0].error.hint}; then `ragops backup copy {self.point.id}`".removeprefix("; then ")
            raise RagopsError("copy_failed", what, hint)


def run(
    platform: Platform,
    repos: Repositories,
    request: BackupRequest = BackupRequest(),
    *,
    locker: LockRequest = LockRequest("ragops backup run"),  # noqa: B008  frozen
    held: AbstractContextManager[PausedWrites] | None = None,
    condition: Condition | None = None,
    on_progress: OnProgress = ignore_progress,
) -> BackupResult:
    """Take a recovery point; when it returns, the engines have read back every part, and so have we where it lies.

    `held` blocks writes until all snapshots are fixed. With a `condition` that finds the platform down it is
    marked, and `BackupResult.require_healthy` raises. Raises RagopsError; nothing that looks like a recovery point is
    left then.
    """
    wanted = request.services
    names = [item.name for item in platform.services() if wanted is None or item.name in wanted]
    if not names:
        raise MissingError(
            "not_provisioned", "cannot take a recovery point: there is no service to back up", "run `ragops up` first"
        )
    if condition:
        condition.require_answers(names)
    key = repos.signing_key()
    with repos.primary.create_draft(locker, repos.last_sequence()) as draft, repos.staging_folder() as folder:
        writer = BackupWriter(draft, repos, folder, request.jobs, on_progress)
        with held or contextlib.nullcontext() as paused:
            writer.run(platform, names, paused.release if paused else lambda: None)
        add_project(writer, platform, sealed=bool(repos.recipients))
        manifest = _manifest(
            draft, platform, repos, request.kind, writer.in_order(), paused.instant if paused else None
        )
        found = condition.look(names, manifest.parts) if condition else Findings()
        manifest = manifest.model_copy(update={"unhealthy": found.words, "schema_digest": found.digest})
        signed = publish(draft, manifest, key)
    _remember(repos, manifest)
    point = repos.primary.open_point(signed)
    copied = copies.copy(repos, point, locker=locker, on_progress=on_progress)
    if request.keep:
        copies.pin(repos, point, keep=True, locker=locker)
    return BackupResult(
        point, copied, condition.restore_command if condition else "", bool(found.lost) and not found.down
    )


def _remember(repos: Repositories, manifest: Manifest) -> None:
    if repos.history:
        repos.history.record_sequence(manifest.sequence)
        if manifest.is_good:
            repos.history.record_good_point(manifest.id, held_by(manifest.parts))


def _manifest(
    draft: Draft,
    platform: Platform,
    repos: Repositories,
    kind: Kind,
    parts: tuple[ManifestPart, ...],
    quiesced: datetime | None,
) -> Manifest:
    return Manifest(
        format=FORMAT,
        id=draft.id,
        sequence=draft.sequence,
        kind=kind,
        created=draft.created,
        platform=platform.name,
        environment=repos.primary.environment,
        runtime=platform.runtime,
        ragops=ragops.__version__,
        duration=draft.seconds,
        quiesced=quiesced,
        recipients=repos.recipients,
        images=dict(platform.images),
        parts=parts,
    )
