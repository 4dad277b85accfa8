"""Remove recovery points that no rule keeps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ragops.errors import RagopsError, StoreRefusedError
from ragops.recovery.retention import Decision, apply_policy

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ragops.config.backup import KeepSettings
    from ragops.recovery.repositories import Repositories
    from ragops.recovery.repository import LockRequest, Repository

_ELSEWHERE = "append_only: prune is run elsewhere"


@dataclass(frozen=True)
class Pruned:
    """One repository: a verdict for each recovery point, those that do not stay removed unless it was a dry run.

    `refusal` states why some were not, which have a verdict to stay.
    """

    repository: str
    verdicts: tuple[Decision, ...]
    unreadable: tuple[RagopsError, ...] = ()
    refusal: RagopsError | None = None


@dataclass(frozen=True)
class PruneResult:
    """All repositories; `failures` are those that could not be pruned."""

    repositories: tuple[Pruned, ...]
    failures: tuple[tuple[str, RagopsError], ...]
    dry_run: bool

    def require_all(self) -> None:
        """Raise RagopsError (prune_failed) if one could not be pruned, with the exit code of why."""
        if self.failures:
            name, error = self.failures[0]
            what = f"cannot prune {name}: {error.message}"
            raise RagopsError("prune_failed", what, error.hint, exit_code=error.exit_code)


def prune(
    repos: Repositories,
    rule: KeepSettings,
    locker: LockRequest,
    protected: Collection[str] = (),
    *,
    dry_run: bool = False,
) -> PruneResult:
    """Judge the recovery points of every repository and remove those that do not stay. Never raises for one of them."""
    done, failures = [], []
    for repository in repos.members:
        try:
            pruned = _prune(repository, repos, rule, locker, protected, dry_run=dry_run)
        except RagopsError as error:
            failures.append((repository.name, error))
            continue
        done.append(pruned)
        if pruned.refusal:
            failures.append((repository.name, pruned.refusal))
    return PruneResult(tuple(done), tuple(failures), dry_run)


def _prune(
    repository: Repository,
    repos: Repositories,
    rule: KeepSettings,
    locker: LockRequest,
    protected: Collection[str],
    *,
    dry_run: bool,
) -> Pruned:
    if dry_run or repository.append_only:
        listing = repository.list()
        verdicts = apply_policy(listing.points, rule, repos.trusted_keys(), protected)
        if repository.append_only:
            verdicts = tuple(verdict if verdict.keep else _stays(verdict, _ELSEWHERE) for verdict in verdicts)
        return Pruned(repository.name, verdicts, (*listing.unreadable.values(),))
    with repository.lock(locker):
        repository.clear_leftovers()
        listing = repository.list()
        verdicts, refusals = _remove(repository, apply_policy(listing.points, rule, repos.trusted_keys(), protected))
    return Pruned(repository.name, verdicts, (*listing.unreadable.values(),), _refusal(repository, refusals))


def _remove(
    repository: Repository, verdicts: Sequence[Decision]
) -> tuple[tuple[Decision, ...], tuple[StoreRefusedError, ...]]:
    """Remove what does not stay; what the repository does not let go stays. Raises RagopsError if it fails."""
    done, refusals = [], []
    for verdict in verdicts:
        if not verdict.keep:
            try:
                repository.remove([verdict.point])
            except StoreRefusedError as error:
                refusals.append(error)
                done.append(_stays(verdict, "the repository does not let it be removed"))
                continue
        done.append(verdict)
    return tuple(done), tuple(refusals)


def _stays(verdict: Decision, why: str) -> Decision:
    return replace(verdict, keep=True, reason=why)


def _refusal(repository: Repository, refusals: Sequence[StoreRefusedError]) -> RagopsError | None:
    if not refusals:
        return None
    first = refusals[0]
    what = f"{len(refusals)} recovery points cannot be removed here: {repository.name} lets nothing be removed"
    return StoreRefusedError(first.code, what, first.hint)
