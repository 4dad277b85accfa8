"""What this machine remembers of the recovery points that it took: the number of the last one.

A repository that was lost, replaced or is not mounted would let numbers begin anew, and then the newest recovery points
would be the oldest of their copies: `latest` and `prune` go by these numbers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.files import SECRET_MODE, write_atomic

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class History:
    """One small file; where it cannot be read, nothing is remembered."""

    path: Path

    def last(self) -> int:
        """The number of the last recovery point, 0 where none is known."""
        try:
            found = json.loads(self.path.read_text())["sequence"]
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        return found if isinstance(found, int) else 0

    def remember(self, sequence: int) -> None:
        """Keep `sequence`, unless a higher one is known. Raises RagopsError."""
        if sequence > self.last():
            write_atomic(self.path, json.dumps({"sequence": sequence}), SECRET_MODE)
