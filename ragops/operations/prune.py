"""Removes recovery points that nobody wants kept: the one operation that deletes any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.errors import RagopsError
from ragops.recovery.retention import judge

if TYPE_CHECKING:
    from collections.abc import Collection

    from ragops.config.backup import KeepSettings
    from ragops.recovery.repository import Locker, Repository
    from ragops.recovery.retention import Verdict
    from ragops.recovery.vault import Vault


@dataclass(frozen=True)
class Pruned:
    """One repository: a verdict for each recovery point, those that do not stay removed unless it was a dry run."""

    repository: str
    verdicts: tuple[Verdict, ...]
    unreadable: tuple[RagopsError, ...] = ()


@dataclass(frozen=True)
class PruneResult:
    """All repositories; `failures` are those that could not be pruned."""

    repositories: tuple[Pruned, ...]
    failures: tuple[tuple[str, RagopsError], ...]
    dry_run: bool

    def require_all(self) -> None:
        """Raise RagopsError (prune_failed) where one could not be pruned, with the exit code of why."""
        if self.failures:
            name, error = self.failures[0]
            what = f"{name} was not pruned: {error.message}"
            raise RagopsError("prune_failed", what, error.hint, exit_code=error.exit_code)


def prune(
    vault: Vault, rule: KeepSettings, locker: Locker, protected: Collection[str] = (), *, dry_run: bool = False
) -> PruneResult:
    """Judge the recovery points of every repository and remove those that do not stay. Never raises for one of them."""
    done, failures = [], []
    for repository in vault.repositories:
        try:
            done.append(_prune(repository, vault, rule, locker, protected, dry_run=dry_run))
        except RagopsError as error:
            failures.append((repository.name, error))
    return PruneResult(tuple(done), tuple(failures), dry_run)


def _prune(
    repository: Repository,
    vault: Vault,
    rule: KeepSettings,
    locker: Locker,
    protected: Collection[str],
    *,
    dry_run: bool,
) -> Pruned:
    if dry_run:
        listing = repository.list()
        return Pruned(repository.name, judge(listing.points, rule, vault.trusted(), protected), listing.unreadable)
    with repository.locked(locker):
        listing = repository.list()
        verdicts = judge(listing.points, rule, vault.trusted(), protected)
        repository.remove([verdict.point for verdict in verdicts if not verdict.stays])
    return Pruned(repository.name, verdicts, listing.unreadable)
