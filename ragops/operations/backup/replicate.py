"""Copies of a recovery point in further repositories, and its mark in all of them. The caller holds the backup lock."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress, ignore_progress, make_byte_counter
from ragops.errors import IntegrityError, InterruptedRunError, MissingError, RagopsError, StoreRefusedError
from ragops.recovery.manifest import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.adapters.progress import OnProgress
    from ragops.recovery.point import RecoveryPoint
    from ragops.recovery.repositories import Repositories
    from ragops.recovery.repository import LockRequest, Repository


COPIED, REPLACED, THERE = "copied", "replaced, it was damaged", "whole"


@dataclass(frozen=True)
class CopyResult:
    """A copy in a repository: how it came there, or the `error` for which it did not."""

    repository: str
    error: RagopsError | None = None
    how: str = "copied"


def copy(
    repos: Repositories, point: RecoveryPoint, *, locker: LockRequest, on_progress: OnProgress = ignore_progress
) -> tuple[CopyResult, ...]:
    """Return a copy of a new recovery point in every further repository; never raises for one of them."""
    done = []
    for repository in repos.copies:
        try:
            _refuse_emptied(repos, repository)
            _copy_to(repository, point, locker, on_progress)
        except (InterruptedRunError, KeyboardInterrupt):
            raise
        except RagopsError as error:
            done.append(CopyResult(repository.name, error))
        else:
            done.append(CopyResult(repository.name))
    if repos.history:
        repos.history.record_copies(copied.repository for copied in done if not copied.error)
    return tuple(done)


def _refuse_emptied(repos: Repositories, repository: Repository) -> None:
    """Raise MissingError (repository_emptied) if there are no recovery points any more: its disk may be away."""
    known = repos.history is not None and repository.name in repos.history.read().copies
    if known and repository.environment not in repository.store.list_folders():
        what = f"cannot copy to {repository.name}: its copies are gone: is its disk mounted?"
        hint = "mount it; to start with an empty one, fill it: `ragops backup copy --all`"
        raise MissingError("repository_emptied", what, hint)


def refuse_emptied_primary(repos: Repositories) -> None:
    """Raise MissingError (repository_emptied) if the first repository is empty and a copy has recovery points.

    Its disk may not be mounted: numbers and days would begin again on the disk below. One out of reach proves nothing.
    """
    listing = repos.primary.list_cached()
    if listing.points or listing.unreadable:
        return
    for repository in repos.copies:
        points: tuple[RecoveryPoint, ...] = ()
        with contextlib.suppress(RagopsError):
            points = repository.list_cached().points
        if points:
            what = (
                f"cannot take a recovery point: {repos.primary.name} has none, and {repository.name} has {len(points)},"
                f" the newest is {points[0].id}"
            )
            hint = "mount its disk; to start with an empty one, fill it from the copies: `ragops backup copy --all`"
            raise MissingError("repository_emptied", what, hint)


def _copy_to(repository: Repository, point: RecoveryPoint, locker: LockRequest, on_progress: OnProgress) -> None:
    repository.import_point(point, locker, make_byte_counter(on_progress, repository.name, "copying", point.size))
    on_progress(Progress(repository.name, "copied and read back", final=True, done=point.size, total=point.size))


@dataclass(frozen=True)
class Replication:
    """A recovery point that is to be whole everywhere: what became of it in each repository."""

    point: RecoveryPoint
    places: tuple[CopyResult, ...]

    def require_all(self) -> None:
        """Raise RagopsError (copy_failed) if it is not."""
        failed = [place for place in self.places if place.error]
        if failed and failed[0].error:
            rows = "".join(f"\n  {place.repository}: {place.error.message}" for place in failed if place.error)
            what = f"recovery point {self.point.id} lacks {len(failed)} of {len(self.places)} repositories:{rows}"
            raise RagopsError("copy_failed", what, failed[0].error.hint)


def replicate_point(
    repos: Repositories, reference: str, *, locker: LockRequest, on_progress: OnProgress = ignore_progress
) -> Replication:
    """Have the recovery point whole in every repository: read if it is, copied if it is missing or damaged.

    It is read from the first repository if all of it holds. Raises as `Repositories.find` does, IntegrityError if
    no copy is whole.
    """
    wanted = _first(repos, reference)
    faults = [_fault(repos, repository, wanted.id) for repository in repos.members]
    source = next((place for place, fault in zip(repos.members, faults, strict=True) if fault is None), None)
    if source is None:
        raise next(fault for fault in faults if fault)
    point = source.get(wanted.id)
    places = (
        _placed(repository, fault, point, locker, on_progress)
        for repository, fault in zip(repos.members, faults, strict=True)
    )
    return Replication(point, tuple(places))


def replicate_all(
    repos: Repositories, idents: Sequence[str], *, locker: LockRequest, on_progress: OnProgress = ignore_progress
) -> tuple[tuple[Replication, ...], RagopsError | None]:
    """Replicate each of them; return the results, and the error of the first one that is whole nowhere."""
    done, failure = [], None
    for ident in idents:
        try:
            done.append(replicate_point(repos, ident, locker=locker, on_progress=on_progress))
        except IntegrityError as error:
            failure = failure or error
    return tuple(done), failure


def incomplete(repos: Repositories) -> tuple[str, ...]:
    """Ids of the recovery points, oldest first, that a repository lacks or has damaged as far as a look shows.

    A safety point stays if it was taken. Raises RagopsError if a repository cannot be reached.
    """
    listings, trusted = [repository.list_cached() for repository in repos.members], repos.trusted_keys()
    wanted = {
        point.id
        for listing in listings
        for point in listing.points
        if point.manifest.kind is Kind.BACKUP and point.signed.signature.key in trusted
    }
    whole = [{point.id for point in listing.points if not point.find_faults()} for listing in listings]
    return tuple(sorted(ident for ident in wanted if not all(ident in there for there in whole)))


def _first(repos: Repositories, reference: str) -> RecoveryPoint:
    """From the first repository that has it; the latest is the newest of all: one that cannot be read may be there."""
    found = []
    for repository in repos.members:
        with contextlib.suppress(RagopsError):
            found.append(repository.get(reference))
    if not found:
        return repos.find(reference)[1]
    return max(found, key=lambda point: point.manifest.sequence) if reference == "latest" else found[0]


def _fault(repos: Repositories, repository: Repository, ident: str) -> RagopsError | None:
    """Why it is not there, or not all of it as it was signed by a trusted key; None if it is whole."""
    try:
        point = repository.get(ident)
        point.require_trust(repos.trusted_keys())
        point.verify()
    except InterruptedRunError:
        raise
    except RagopsError as error:
        return error
    return None


def _placed(
    repository: Repository,
    fault: RagopsError | None,
    point: RecoveryPoint,
    locker: LockRequest,
    on_progress: OnProgress,
) -> CopyResult:
    if fault is None:
        return CopyResult(repository.name, how=THERE)
    try:
        _copy_to(repository, point, locker, on_progress)
    except InterruptedRunError:
        raise
    except RagopsError as error:
        return CopyResult(repository.name, error)
    return CopyResult(repository.name, how=REPLACED if isinstance(fault, IntegrityError) else COPIED)


def _marked_for_good(repository: Repository, point: RecoveryPoint) -> StoreRefusedError:
    what = f"cannot take the mark from {point.id}: {repository.name} takes new files only, and the mark is a file"
    hint = (
        f"run `ragops backup keep {point.id} --off` where the key, or the user, may remove files there;"
        " until then `ragops backup prune` leaves the recovery point"
    )
    return StoreRefusedError("repository_append_only", what, hint)


def pin(repos: Repositories, point: RecoveryPoint, *, keep: bool, locker: LockRequest) -> None:
    """Mark it in every repository that has it, so that prune leaves it there, or take the marks away.

    Raises RagopsError if one of them cannot be reached, after the others are done.
    """
    failure: RagopsError | None = None
    for repository in repos.members:
        try:
            if repository.list_cached().find_by_prefix(point.id):
                with repository.lock(locker):
                    repository.set_pinned(point, keep=keep)
        except StoreRefusedError as error:
            failure = failure or (error if keep else _marked_for_good(repository, point))
        except RagopsError as error:
            failure = failure or error
    if failure:
        raise failure
