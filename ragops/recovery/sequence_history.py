"""Local history of recovery points: the last sequence number, where copies went, and what the last good one held.

The sequence numbers order recovery points for `latest` and `prune`. If a repository is lost, replaced or not mounted,
its listing would start numbers again at 1; the local history prevents that. It also lets ragops refuse the empty folder
under a disk that is not mounted, instead of taking it for a new repository.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ragops.adapters.state_file import StateFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class _Values:
    """The keys of the file; `held` is None as long as nothing was recorded, empty for a new platform."""

    sequence: int = 0
    good: str = ""
    held: dict[str, dict[str, int]] | None = None
    restored: str = ""
    data: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class History:
    """The history in the file `path`; it is empty if the file cannot be read."""

    path: Path

    def last_sequence(self) -> int:
        """Return the number of the last recovery point, 0 if there is none."""
        return self._values().sequence

    def record_sequence(self, sequence: int) -> None:
        """Record `sequence` unless a higher number is recorded. Raises RagopsError."""
        if sequence > self.last_sequence():
            self._update(sequence=sequence)

    def last_good_id(self) -> str:
        """Return the id of the newest point that was taken here of a healthy platform, empty if there is none."""
        return self._values().good

    def last_counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return the items by service and kind at the last good recovery point or restore.

        Empty if nothing was recorded, or if a new platform was started since.
        """
        return self._values().held or {}

    def record_good_point(self, ident: str, held: Mapping[str, Mapping[str, int]]) -> None:
        """Record that the recovery point is good, and its counts. Raises RagopsError."""
        self._update(good=ident, held={**self.last_counts(), **held})

    def record_restored_counts(self, held: Mapping[str, Mapping[str, int]]) -> None:
        """Record the counts of restored services; those of other services stay. Raises RagopsError."""
        self._update(held={**self.last_counts(), **held}, restored=datetime.now(tz=UTC).isoformat())

    def restored_at(self) -> datetime | None:
        """Return the time of the last restore, None if there was none."""
        try:
            return datetime.fromisoformat(self._values().restored)
        except ValueError:
            return None

    def is_new_platform(self) -> bool:
        """Return whether a new platform was started on purpose, without a good point or a restore since then."""
        return self._values().held == {}

    def record_new_platform(self, services: Iterable[str] | None = None) -> None:
        """Record that `services` (None: all) start empty on purpose, so that no data loss is reported."""
        gone = set(self.last_counts() if services is None else services)
        held = {name: counts for name, counts in self.last_counts().items() if name not in gone}
        data = sorted(self.services_with_data() - gone) if services is not None else []
        self._update(held=held, data=data)

    def services_with_data(self) -> frozenset[str]:
        """Return the services that had data on this machine after the last `up`."""
        return frozenset(self._values().data)

    def record_data(self, services: Iterable[str]) -> None:
        """Record the services that have data on this machine. Raises RagopsError."""
        if set(services) != self.services_with_data():
            self._update(data=sorted(services))

    def written_repositories(self) -> frozenset[str]:
        """Return the repositories that recovery points were written to from here."""
        return frozenset(self._values().written)

    def record_written(self, repository: str) -> None:
        """Record that a recovery point was written to `repository`. Raises RagopsError."""
        if repository not in self.written_repositories():
            self._update(written=sorted({*self.written_repositories(), repository}))

    def has_copies(self, repository: str) -> bool:
        """Return whether copies were written to `repository` before."""
        return repository in self._values().copies

    def record_copies(self, repositories: Iterable[str]) -> None:
        """Record that copies were written to `repositories`. Raises RagopsError."""
        known = set(self._values().copies)
        if more := set(repositories) - known:
            self._update(copies=sorted(known | more))

    def _values(self) -> _Values:
        return self._file.read() or _Values()

    def _update(self, **changes: Any) -> None:
        self._file.write(replace(self._values(), **changes))

    @property
    def _file(self) -> StateFile[_Values]:
        return StateFile(self.path, _Values)
