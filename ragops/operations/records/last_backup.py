"""What is kept of the last run of a backup: for health and metrics, which must not ask a repository far away."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from ragops.adapters.files import SECRET_MODE, write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Taken:
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
    taken: Taken | None = None


def read(path: Path) -> RunRecord | None:
    """The record; None without one, or where it cannot be read."""
    try:
        values = json.loads(path.read_text())
        taken = Taken(**values["taken"]) if values["taken"] else None
        record = RunRecord(str(values["time"]), float(values["seconds"]), str(values["error"]), taken)
        if taken is not None:
            float(taken.instant)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record


def save(path: Path, record: RunRecord) -> None:
    """Keep the record. Raises RagopsError (not_permitted), MissingError (disk_full)."""
    write_atomic(path, json.dumps(asdict(record)), SECRET_MODE)
