"""The record of the last backup run, for health and metrics, which must not query a remote repository."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  read when the file is
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from ragops.adapters.state_file import StateFile

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class PointSummary:
    """A recovery point that was taken; `created` in ISO 8601, `size` in bytes, `copies` whole or not by repository."""

    point: str
    created: str
    seconds: float
    size: int
    copies: Mapping[str, bool] = field(default_factory=dict)

    @property
    def instant(self) -> float:
        """When it was taken, in seconds of the epoch."""
        return datetime.fromisoformat(self.created).timestamp()


@dataclass(frozen=True)
class RunRecord:
    """The last run: when it ended (ISO 8601), how long it took, the code of what it failed with.

    `taken` is the last recovery point that any run finished.
    """

    time: str
    seconds: float
    error: str = ""
    taken: PointSummary | None = None


def read(path: Path) -> RunRecord | None:
    """Return the record; None if there is none that can be read."""
    record = StateFile(path, RunRecord).read()
    try:
        return record if record is None or record.taken is None or record.taken.instant >= 0 else None
    except ValueError:
        return None


def save(path: Path, record: RunRecord) -> None:
    """Write the record. Raises RagopsError (not_permitted), MissingError (disk_full)."""
    StateFile(path, RunRecord).write(record)
