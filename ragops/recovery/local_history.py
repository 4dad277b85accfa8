"""Local history of recovery points: the last sequence number, where copies went, and what the last good one held.

The sequence numbers order recovery points for `latest` and `prune`. If a repository is lost, replaced or not mounted,
its listing would start numbers again at 1; the local history prevents that. It also lets ragops refuse the empty folder
under a disk that is not mounted, instead of taking it for a new repository.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ragops.adapters.state_file import StateFile
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class HistoryRecord:
    """The keys of the file: the last `sequence` number, the id of the last `good` point, services with `data` here.

    `held` are items by service and kind at the last good point or restore: None as long as nothing was recorded, empty
    for a new platform. `restored` is the time of the last restore (ISO 8601), `copies` are repositories with copies.
    """

    sequence: int = 0
    good: str = ""
    held: dict[str, dict[str, int]] | None = None
    restored: str = ""
    data: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Return `held`; empty if nothing was recorded, or if a new platform was started since."""
        return self.held or {}

    @property
    def is_new_platform(self) -> bool:
        """Return whether a new platform was started on purpose, without a good point or a restore since then."""
        return self.held == {}

    @property
    def restored_at(self) -> datetime | None:
        """Return the time of the last restore, None if there was none."""
        try:
            return datetime.fromisoformat(self.restored)
        except ValueError:
            return None


@dataclass(frozen=True)
class History:
    """The history in the file `path`. All methods raise RagopsError (history_unreadable) if the file is damaged."""

    path: Path

    def read(self) -> HistoryRecord:
        """Return the record, an empty one if there is no file yet."""
        try:
            return self._file.read_strictly()
        except FileNotFoundError:
            return HistoryRecord()
        except (OSError, ValueError, RecursionError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is damaged"
            hint = (
                f"put it back from a backup of this machine; without one, `rm {shlex.quote(str(self.path))}`: numbers"
                " then continue after the highest one in the repositories that can be reached"
            )
            raise RagopsError("history_unreadable", f"cannot read {self.path}: {why}", hint) from error

    def record_sequence(self, sequence: int) -> None:
        """Record `sequence` unless a higher number is recorded."""
        if sequence > self.read().sequence:
            self._update(sequence=sequence)

    def record_good_point(self, ident: str, held: Mapping[str, Mapping[str, int]]) -> None:
        """Record that the recovery point is good, and its counts."""
        self._update(good=ident, held={**self.read().counts, **held})

    def record_restored_counts(self, held: Mapping[str, Mapping[str, int]]) -> None:
        """Record the counts of restored services; those of other services stay."""
        self._update(held={**self.read().counts, **held}, restored=datetime.now(tz=UTC).isoformat())

    def record_new_platform(self, services: Iterable[str] | None = None) -> None:
        """Record that `services` (None: all) start empty on purpose, so that no data loss is reported."""
        before = self.read()
        gone = set(before.counts if services is None else services)
        held = {name: counts for name, counts in before.counts.items() if name not in gone}
        self._update(held=held, data=sorted(set(before.data) - gone) if services is not None else [])

    def record_data(self, services: Iterable[str]) -> None:
        """Record the services that have data on this machine."""
        if set(services) != set(self.read().data):
            self._update(data=sorted(services))

    def record_copies(self, repositories: Iterable[str]) -> None:
        """Record that copies were written to `repositories`."""
        known = set(self.read().copies)
        if more := set(repositories) - known:
            self._update(copies=sorted(known | more))

    def _update(self, **changes: Any) -> None:
        self._file.write(replace(self.read(), **changes))

    @property
    def _file(self) -> StateFile[HistoryRecord]:
        return StateFile(self.path, HistoryRecord)
