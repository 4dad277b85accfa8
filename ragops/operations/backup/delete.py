"""Deletes one recovery point by its id. The caller asked, and holds the locks of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.errors import InterruptedRunError, RagopsError, UsageError
from ragops.recovery.point import match_id

if TYPE_CHECKING:
    from collections.abc import Collection

    from ragops.recovery.point import Listing, RecoveryPoint
    from ragops.recovery.repositories import Repositories
    from ragops.recovery.repository import LockRequest, Repository

_LIST = "see `ragops backup list`"


@dataclass(frozen=True)
class DeleteRequest:
    """Which one: an id, the start of exactly one, or `latest`, in `repository` (None: in all).

    `kept`: also if it is marked.
    `needed` are ids that an interrupted restore continues with.
    """

    reference: str
    repository: str | None = None
    kept: bool = False
    needed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Deletion:
    """One recovery point in one repository: its size in bytes, and whether it is whole, damaged or unreadable.

    `refusal` states why it may not go.
    """

    point: str
    repository: str
    size: int
    state: str
    refusal: RagopsError | None = None

    def require(self) -> None:
        """Raise what keeps it from going: UsageError (recovery_point_kept), RagopsError (last_recovery_point, …)."""
        if self.refusal:
            raise self.refusal


@dataclass(frozen=True)
class DeleteResult:
    """What is gone; `failures` are the repositories if it is not."""

    removed: tuple[Deletion, ...]
    failures: tuple[tuple[str, RagopsError], ...]

    def require_all(self) -> None:
        """Raise RagopsError (delete_failed) if it is not gone everywhere, with the exit code of why."""
        if self.failures:
            name, error = self.failures[0]
            what = f"cannot remove it from {name}: {error.message}"
            raise RagopsError("delete_failed", what, error.hint, exit_code=error.exit_code)


def plan_deletion(repos: Repositories, request: DeleteRequest) -> tuple[Deletion, ...]:
    """Return what would go, from where, or why not; changes nothing.

    Raises UsageError (no_recovery_point, ambiguous_recovery_point), RagopsError if a repository cannot be reached.
    """
    places = _places(repos, request)
    ident = _ident(repos, places, request)
    trusted = repos.trusted_keys()
    return tuple(_look(place, ident, request, trusted) for place in places if ident in place.list_ids())


def delete(repos: Repositories, request: DeleteRequest, locker: LockRequest) -> DeleteResult:
    """Remove it, judged once more under the lock of each repository; never raises for one of them. Else as `doomed`."""
    places = _places(repos, request)
    ident = _ident(repos, places, request)
    removed, failures = [], []
    for place in places:
        try:
            with place.lock(locker):
                if ident not in place.list_ids():
                    continue
                found = _look(place, ident, request, repos.trusted_keys())
                found.require()
                place.remove_id(ident)
        except InterruptedRunError:
            raise
        except RagopsError as error:
            failures.append((place.name, error))
        else:
            removed.append(found)
    return DeleteResult(tuple(removed), tuple(failures))


def _places(repos: Repositories, request: DeleteRequest) -> tuple[Repository, ...]:
    return (repos.repository(request.repository),) if request.repository else repos.members


def _ident(repos: Repositories, places: Collection[Repository], request: DeleteRequest) -> str:
    """Return the one id that begins so."""
    if request.reference == "latest":
        return repos.find("latest", request.repository)[1].id
    if not request.reference:
        raise UsageError("usage", "name the recovery point to delete by its id", _LIST)
    idents = [ident for place in places for ident in place.list_ids()]
    return match_id(request.reference, idents, ", ".join(place.name for place in places))


def _look(place: Repository, ident: str, request: DeleteRequest, trusted: Collection[str]) -> Deletion:
    listing = place.list()
    point = next((point for point in listing.points if point.id == ident), None)
    state = "unreadable" if point is None else "damaged" if point.find_faults() else "whole"
    return Deletion(
        ident, place.name, _size(place, ident), state, _refusal(place, ident, point, listing, request, trusted)
    )


def _refusal(
    place: Repository,
    ident: str,
    point: RecoveryPoint | None,
    listing: Listing,
    request: DeleteRequest,
    trusted: Collection[str],
) -> RagopsError | None:
    if ident in request.needed:
        what = f"cannot delete recovery point {ident}: a restore that was interrupted needs it"
        return RagopsError("recovery_point_needed", what, "finish it first: `ragops health backup` shows how")
    if point is None:
        return None
    if point.is_pinned and not request.kept:
        what = f"cannot delete recovery point {ident}: it is marked keep in {place.name}"
        return UsageError("recovery_point_kept", what, "add --kept to delete it all the same")
    if point.is_good_for(trusted) and not any(one.id != ident and one.is_good_for(trusted) for one in listing.points):
        what = f"cannot delete recovery point {ident}: it is the last good one in {place.name}"
        return RagopsError("last_recovery_point", what, "take another one first: `ragops backup run`")
    return None


def _size(place: Repository, ident: str) -> int:
    try:
        return place.measure(ident)
    except RagopsError:  # of a folder that may not be read nothing is known
        return 0
