"""Restore a recovery point. The caller holds the exclusive lock, asked the user, and writes the audit line."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress, ignore_progress, report_progress
from ragops.errors import IntegrityError, MissingError, RagopsError, UsageError
from ragops.operations.backup import create
from ragops.operations.backup.point_condition import held_by
from ragops.operations.backup.staging import engine_part, staged_parts
from ragops.operations.restore.compare import expected
from ragops.recovery.manifest import Kind
from ragops.recovery.repository import LockRequest
from ragops.services import SERVICES, backup_engine, by_name
from ragops.services.contract import NotRestored, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ragops.adapters.progress import OnProgress
    from ragops.operations.records.restore_journal import Interrupted, RestoreJournal
    from ragops.operations.session import Platform
    from ragops.recovery.manifest import ManifestPart
    from ragops.recovery.point import RecoveryPoint
    from ragops.recovery.repositories import Repositories
    from ragops.recovery.repository import Repository
    from ragops.services.contract import Part

_PROBE_TIMEOUT = 5.0


@dataclass(frozen=True)
class RestoreRequest:
    """What to bring back: a recovery point by id, start of an id or `latest`; no `services` means all in it.

    `repository` is where from, None: the first. `restart` restores again what an interrupted run had restored.
    """

    reference: str = "latest"
    services: tuple[str, ...] = ()
    safety: bool = True
    dry_run: bool = False
    repository: str | None = None
    restart: bool = False


@dataclass(frozen=True)
class RestoredService:
    """One service: items by kind before (empty if it was down) and in the recovery point, seconds, notes."""

    service: str
    before: Mapping[str, int]
    counts: Mapping[str, int]
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RestoreResult:
    """What was brought back, or would be if `dry_run`; `safety` is the id of the recovery point taken before."""

    point: RecoveryPoint
    services: tuple[RestoredService, ...]
    safety: str
    notes: tuple[str, ...]
    dry_run: bool

    @property
    def missing(self) -> tuple[str, ...]:
        """Notes on objects that could not be created again, such as indexes; all rows are back."""
        return tuple(note for item in self.services for note in item.notes if isinstance(note, NotRestored))


@dataclass
class _Run:
    """One restore of `names` from files in `folder`."""

    platform: Platform
    repos: Repositories
    point: RecoveryPoint
    names: tuple[str, ...]
    on_progress: OnProgress
    folder: Path
    before: dict[str, Mapping[str, int]] = field(default_factory=dict)


def restore(
    request: RestoreRequest,
    platform: Platform,
    repos: Repositories,
    journal: RestoreJournal,
    *,
    locker: LockRequest = LockRequest("ragops restore"),  # noqa: B008  frozen
    on_progress: OnProgress = ignore_progress,
) -> RestoreResult:
    """Check everything, then replace the services' data by the recovery point's; counts match when it returns.

    Raises before anything is touched: UsageError, IntegrityError (damaged, unknown signer), MissingError (runtime,
    versions, rights, space, identity). Raises RagopsError if a service could not be restored: its old data then
    serve again, and the same command continues with what is left.
    """
    chosen, point = repos.find(request.reference, request.repository)
    point.require_trust(repos.trusted_keys())
    names = _chosen(request, point)
    refuse_runtime(platform.runtime, point)
    parts = [part for part in point.manifest.parts if part.service in names]
    with _unpacked(repos, chosen, point, parts, on_progress) as folder:
        run = _Run(platform, repos, point, names, on_progress, folder)
        _preflight(run)
        if request.dry_run:
            return _rehearsed(run)
        return _bring_back(run, request, journal, locker)


@contextlib.contextmanager
def _unpacked(
    repos: Repositories,
    chosen: Repository,
    point: RecoveryPoint,
    parts: Sequence[ManifestPart],
    on_progress: OnProgress,
) -> Iterator[Path]:
    """Stage the parts; an error about a damaged file names other copies of it."""
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(staged_parts(repos, point, parts, on_progress))
        except IntegrityError as error:
            repos.add_copy_hint(error, chosen, point.id)
            raise
        yield folder


def _chosen(request: RestoreRequest, point: RecoveryPoint) -> tuple[str, ...]:
    """Return the names of the services to restore, in their order of dependence."""
    held = [service.name for service in SERVICES if point.manifest.parts_of(service.name)]
    if unknown := [name for name in request.services if name not in held]:
        what = f"cannot restore {', '.join(unknown)}: recovery point {point.id} does not have it"
        raise UsageError("not_in_recovery_point", what, f"it has {', '.join(held) or 'nothing'}")
    return tuple(name for name in held if not request.services or name in request.services)


def refuse_runtime(here: str, point: RecoveryPoint) -> None:
    """Raise MissingError (runtime_differs): engines of one runtime do not read the files of the other's."""
    if (there := point.manifest.runtime) != here:
        what = f"cannot restore recovery point {point.id}: it was taken on the runtime {there}, this is {here}"
        hint = f"Redis and Valkey, TimescaleDB and PostgreSQL do not read each other's files: use `runtime: {there}`"
        raise MissingError("runtime_differs", what, hint)


def _preflight(run: _Run) -> None:
    for name in run.names:
        control = run.platform.control(name)
        endpoint = run.platform.endpoint(name)
        backup_engine(name).preflight(endpoint, control, run.folder / name, _parts(run.point, name))
    for name in _reachable(run.platform, run.names):
        run.before[name] = backup_engine(name).counts(run.platform.endpoint(name))


def _rehearsed(run: _Run) -> RestoreResult:
    """Have the engines read every part, and change nothing."""
    for name in run.names:
        for part in _parts(run.point, name):
            run.on_progress(Progress(f"{name}/{part.name}", "the engine reads it"))
            backup_engine(name).verify(run.folder / name, part, run.platform.control(name))
    planned = tuple(
        RestoredService(name, run.before.get(name, {}), _counts(run.point, name), 0.0) for name in run.names
    )
    return RestoreResult(run.point, planned, "", (), dry_run=True)


def _bring_back(run: _Run, request: RestoreRequest, journal: RestoreJournal, locker: LockRequest) -> RestoreResult:
    state, notes = _begin(run, request, journal, locker)
    done: list[RestoredService] = []
    for name in run.names:
        if name in state.done:
            note = (
                f"{name} was restored by the run that was interrupted and is left as it is; --restart restores it again"
            )
            done.append(RestoredService(name, run.before.get(name, {}), _counts(run.point, name), 0.0, (note,)))
            continue
        run.on_progress(Progress(name, "restoring"))
        done.append(_restore_one(run, name, _undo_hint(done, state.safety)))
        state = journal.did(state, name)
        run.on_progress(Progress(name, f"restored in {done[-1].seconds:.1f} s, counts match", final=True))
    journal.end()
    if run.repos.history:
        run.repos.history.record_restored_counts(
            held_by(part for part in run.point.manifest.parts if part.service in run.names)
        )
    return RestoreResult(run.point, tuple(done), state.safety, notes, dry_run=False)


def _begin(
    run: _Run, request: RestoreRequest, journal: RestoreJournal, locker: LockRequest
) -> tuple[Interrupted, tuple[str, ...]]:
    """Continue an interrupted run of the same restore with its safety point, or begin a new one."""
    left = journal.read()
    same = left is not None and (left.point, left.services) == (run.point.id, run.names)
    if left and same and left.fresh and not request.restart:
        back = f"; the safety point is still {left.safety}" if left.safety else ""
        return left, (f"continuing the restore that was interrupted{back}",)
    safety, notes = _save(run, request, locker)
    return journal.begin(run.point.id, run.names, safety), notes


def _reachable(platform: Platform, names: Sequence[str]) -> list[str]:
    """Those of `names` that answer and have data."""
    found = []
    for name in names:
        checks = by_name(name).probe(platform.endpoint(name), _PROBE_TIMEOUT).checks
        if checks and checks[0].status is not Status.DOWN:
            found.append(name)
    return found


def _save(run: _Run, request: RestoreRequest, locker: LockRequest) -> tuple[str, tuple[str, ...]]:
    """Return the id of the safety recovery point of what is reachable, and words on what is not in it."""
    if not request.safety:
        return "", ()
    reachable = tuple(run.before)
    notes = tuple(
        f"{name} is down: what it held is not in a safety recovery point" for name in run.names if name not in reachable
    )
    if not reachable:
        return "", notes
    wanted = create.BackupRequest(kind=Kind.SAFETY, services=reachable)
    try:
        taken = create.run(run.platform, run.repos.without_copies(), wanted, locker=locker, on_progress=run.on_progress)
    except RagopsError as error:
        error.hint = (
            f"no safety recovery point could be taken and nothing was touched; --no-safety does without. {error.hint}"
        )
        raise
    return taken.point.id, notes


def _restore_one(run: _Run, name: str, restore_command: str) -> RestoredService:
    endpoint, control = run.platform.endpoint(name), run.platform.control(name)
    started = time.monotonic()
    try:
        with report_progress(run.on_progress):
            notes = backup_engine(name).restore(endpoint, control, run.folder / name, _parts(run.point, name))
    except RagopsError as error:
        error.hint = f"{error.hint} {restore_command}".strip()
        raise
    seconds = round(time.monotonic() - started, 3)
    return RestoredService(name, run.before.get(name, {}), _held(run, name), seconds, notes)


def _undo_hint(done: Sequence[RestoredService], safety: str) -> str:
    """Return a message about the services that were restored before one failed."""
    if not done:
        return ""
    names = ", ".join(service.service for service in done)
    back = f"; to go back: `ragops restore {safety}`" if safety else ""
    return f"({names} already restored{back})"


def _parts(point: RecoveryPoint, name: str) -> list[Part]:
    return [engine_part(part) for part in point.manifest.parts_of(name)]


def _counts(point: RecoveryPoint, name: str) -> dict[str, int]:
    """Items by kind in the terms of the live service: the shards of a collection together."""
    return expected(point.manifest.parts_of(name))


def _held(run: _Run, name: str) -> dict[str, int]:
    """Return what the service holds now: as in the recovery point, or as counted if it has no number."""
    known = _counts(run.point, name)
    with contextlib.suppress(RagopsError):
        live = backup_engine(name).counts(run.platform.endpoint(name))
        return known | {kind: number for kind, number in live.items() if kind not in known}
    return known
