"""What this machine remembers of the recovery points that it took: the number of the last one, where copies went, and
what the platform held when the last good one was taken.

A repository that was lost, replaced or is not mounted would let numbers begin anew, and then the newest recovery points
would be the oldest of their copies: `latest` and `prune` go by these numbers. And the folder of a disk that is not
mounted would be taken for a new repository, on the disk below.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ragops.adapters.files import SECRET_MODE, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class History:
    """One small file; where it cannot be read, nothing is remembered."""

    path: Path

    def last_sequence(self) -> int:
        """The number of the last recovery point, 0 where none is known."""
        found = self._all().get("sequence")
        return found if isinstance(found, int) else 0

    def record_sequence(self, sequence: int) -> None:
        """Keep `sequence`, unless a higher one is known. Raises RagopsError."""
        if sequence > self.last_sequence():
            self._write({**self._all(), "sequence": sequence})

    def last_good_id(self) -> str:
        """The id of the newest one that was taken here of a platform that was well; empty where none is known."""
        found = self._all().get("good")
        return found if isinstance(found, str) else ""

    def last_counts(self) -> Mapping[str, Mapping[str, int]]:
        """Items by kind and service that the platform had at the last good recovery point or restore.

        Empty where nothing was noted, or a new platform was begun since.
        """
        found = self._all().get("held")
        return found if isinstance(found, dict) else {}

    def record_good_point(self, ident: str, held: Mapping[str, Mapping[str, int]]) -> None:
        """Keep that the recovery point is good, and what it holds. Raises RagopsError."""
        self._write({**self._all(), "good": ident, "held": {**self.last_counts(), **held}})

    def record_restored_counts(self, held: Mapping[str, Mapping[str, int]]) -> None:
        """Keep what was brought back now of some services; that of the others stays. Raises RagopsError."""
        restored = datetime.now(tz=UTC).isoformat()
        self._write({**self._all(), "held": {**self.last_counts(), **held}, "restored": restored})

    def restored_at(self) -> datetime | None:
        """When something was last brought back."""
        try:
            return datetime.fromisoformat(self._all()["restored"])
        except (KeyError, TypeError, ValueError):
            return None

    def is_new_platform(self) -> bool:
        """Whether a new platform was begun on purpose, and no good recovery point was taken or restored since."""
        return self._all().get("held") == {}

    def record_new_platform(self, services: Iterable[str] | None = None) -> None:
        """Keep that `services` (None: all) were begun empty on purpose: they have lost nothing. Raises RagopsError."""
        gone = set(self.last_counts() if services is None else services)
        held = {name: counts for name, counts in self.last_counts().items() if name not in gone}
        data = sorted(self.services_with_data() - gone) if services is not None else []
        self._write({**self._all(), "held": held, "data": data})

    def services_with_data(self) -> frozenset[str]:
        """Services that had data on this machine when the platform came up last."""
        found = self._all().get("data")
        return frozenset(map(str, found)) if isinstance(found, list) else frozenset()

    def record_data(self, services: Iterable[str]) -> None:
        """Keep that these have data here. Raises RagopsError."""
        if set(services) != self.services_with_data():
            self._write({**self._all(), "data": sorted(services)})

    def written_repositories(self) -> frozenset[str]:
        """The repositories that recovery points were written to from here, as the first one."""
        found = self._all().get("written")
        return frozenset(map(str, found)) if isinstance(found, list) else frozenset()

    def record_written(self, repository: str) -> None:
        """Keep that one was written there. Raises RagopsError."""
        if repository not in self.written_repositories():
            self._write({**self._all(), "written": sorted({*self.written_repositories(), repository})})

    def has_copies(self, repository: str) -> bool:
        """Whether copies went to the repository before."""
        return repository in self._copies()

    def record_copies(self, repositories: Iterable[str]) -> None:
        """Keep that copies went there. Raises RagopsError."""
        known = self._copies()
        if more := set(repositories) - known:
            self._write({**self._all(), "copies": sorted(known | more)})

    def _copies(self) -> set[str]:
        found = self._all().get("copies")
        return {str(name) for name in found} if isinstance(found, list) else set()

    def _all(self) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, values: dict[str, Any]) -> None:
        write_atomic(self.path, json.dumps(values), SECRET_MODE)
