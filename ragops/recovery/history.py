"""What this machine remembers of the recovery points that it took: the number of the last one, and where copies went.

A repository that was lost, replaced or is not mounted would let numbers begin anew, and then the newest recovery points
would be the oldest of their copies: `latest` and `prune` go by these numbers. And the folder of a disk that is not
mounted would be taken for a new repository, on the disk below.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragops.adapters.files import SECRET_MODE, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True)
class History:
    """One small file; where it cannot be read, nothing is remembered."""

    path: Path

    def last(self) -> int:
        """The number of the last recovery point, 0 where none is known."""
        found = self._all().get("sequence")
        return found if isinstance(found, int) else 0

    def remember(self, sequence: int) -> None:
        """Keep `sequence`, unless a higher one is known. Raises RagopsError."""
        if sequence > self.last():
            self._write({**self._all(), "sequence": sequence})

    def has_copies(self, repository: str) -> bool:
        """Whether copies went to the repository before."""
        return repository in self._copies()

    def remember_copies(self, repositories: Iterable[str]) -> None:
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
