"""What is kept of restore drills: one line for each, appended."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ragops.adapters import audit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class DrillRecord:
    """One drill of the recovery point `point`, ended at `time`; `error` and `why` are empty where it went well.

    `seconds` of all of it, `restore_seconds` of the restore alone (0 where it did not come to that), `data_age_seconds`
    from the oldest instant of the data to the drill. `counts` by service, `samples` by what came of them.
    """

    point: str
    repository: str
    seconds: float
    restore_seconds: float
    data_age_seconds: float
    error: str = ""
    why: str = ""
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    samples: Mapping[str, int] = field(default_factory=dict)
    time: datetime | None = None

    @property
    def ok(self) -> bool:
        """Whether it went well."""
        return not self.error


def append(path: Path, record: DrillRecord) -> None:
    """Append a drill that just ended. Raises RagopsError (not_permitted), MissingError (disk_full)."""
    values = {name: value for name, value in asdict(record).items() if name != "time"}
    audit.append(path, ok=record.ok, **values)


def read(path: Path) -> tuple[DrillRecord, ...]:
    """All drills, oldest first; lines that cannot be read are left out."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return ()
    found = []
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found.append(_record(json.loads(line)))
    return tuple(found)


def _record(values: Mapping[str, Any]) -> DrillRecord:
    return DrillRecord(
        point=str(values["point"]),
        repository=str(values["repository"]),
        seconds=float(values["seconds"]),
        restore_seconds=float(values["restore_seconds"]),
        data_age_seconds=float(values["data_age_seconds"]),
        error=str(values["error"]),
        why=str(values["why"]),
        counts=values.get("counts", {}),
        samples=values.get("samples", {}),
        time=datetime.fromisoformat(values["time"]),
    )
