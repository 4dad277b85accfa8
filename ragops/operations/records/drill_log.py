"""The log of drills and of everything else that proves a restore: one line for each."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping  # noqa: TC003  pydantic reads the annotations
from dataclasses import asdict, dataclass, field
from datetime import datetime  # noqa: TC003
from typing import TYPE_CHECKING

from ragops.adapters import audit

if TYPE_CHECKING:
    from pathlib import Path


DRILL, VERIFY, RESTORE = "drill", "verify", "restore"


@dataclass(frozen=True)
class DrillRecord:
    """One drill of the recovery point `point`, ended at `time`; `error` and `why` are empty if it went well.

    `seconds` of all of it, `restore_seconds` of the restore alone (0 if it did not come to that), `data_age_seconds`
    from the oldest instant of the data to the drill. `counts` by service, `samples` by what came of them. `how` it was
    proven: by a drill, by `verify --deep`, by a restore; `full` if all of it was restored, else `proven` was and
    `left` was not. `schema_digest` is the recovery point's.
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
    how: str = DRILL
    schema_digest: str = ""
    full: bool = True
    proven: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it went well."""
        return not self.error


def append(path: Path, record: DrillRecord) -> None:
    """Append a drill that just ended. Raises RagopsError (not_permitted), MissingError (disk_full)."""
    values = {name: value for name, value in asdict(record).items() if name != "time"}
    audit.append(path, ok=record.ok, **values)


def drills(path: Path) -> tuple[DrillRecord, ...]:
    """All drills, oldest first."""
    return tuple(record for record in read(path) if record.how == DRILL)


def read(path: Path) -> tuple[DrillRecord, ...]:
    """All that is kept, oldest first; lines that cannot be read are left out."""
    from pydantic import TypeAdapter

    adapter = TypeAdapter(DrillRecord)
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return ()
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):
            record = adapter.validate_json(line)
            found += [record] if record.time else []
    return tuple(found)
