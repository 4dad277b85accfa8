"""Copies of a recovery point in further repositories, and its mark in all of them. The caller holds the backup lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress, ignore
from ragops.errors import InterruptedRunError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.recovery.point import RecoveryPoint
    from ragops.recovery.repository import Locker, Repository
    from ragops.recovery.vault import Vault


@dataclass(frozen=True)
class Copied:
    """A copy in another repository; `error` where it did not happen."""

    repository: str
    error: RagopsError | None = None


def copy(
    vault: Vault, point: RecoveryPoint, *, locker: Locker, on_progress: Callable[[Progress], None] = ignore
) -> tuple[Copied, ...]:
    """A copy in every further repository that lacks it or has it damaged; never raises for one of them."""
    done = []
    for repository in vault.copies:
        try:
            _copy_to(repository, point, locker, on_progress)
        except (InterruptedRunError, KeyboardInterrupt):
            raise
        except RagopsError as error:
            done.append(Copied(repository.name, error))
        else:
            done.append(Copied(repository.name))
    return tuple(done)


def _copy_to(
    repository: Repository, point: RecoveryPoint, locker: Locker, on_progress: Callable[[Progress], None]
) -> None:
    there = next((found for found in repository.list().points if found.id == point.id), None)
    if there is not None and there.signed == point.signed and not there.faults():
        return
    done = 0

    def on_bytes(size: int) -> None:
        nonlocal done
        done += size
        on_progress(Progress(repository.name, "copying", done=done, total=point.size))

    repository.adopt(point, locker, on_bytes)
    on_progress(Progress(repository.name, "copied and read back", final=True, done=point.size, total=point.size))


def keep(vault: Vault, point: RecoveryPoint, *, keep: bool, locker: Locker) -> None:
    """Mark it in every repository that has it, so that prune leaves it there, or take the marks away."""
    for repository in vault.repositories:
        if any(found.id == point.id for found in repository.list().points):
            with repository.locked(locker):
                repository.keep(point, keep=keep)
