"""The newest run by the clock, from its record."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ragops.adapters import logs
from ragops.adapters.process_identity import is_mark_gone

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class LastRun:
    """The newest run on record: `state` is done, failed, running or killed; `exit_code` None for the latter two."""

    start: str
    end: str
    state: str
    exit_code: int | None
    steps: tuple[dict[str, Any], ...]


def last_run(record: Path) -> LastRun | None:
    """Return the newest run of a record, None if there is none to be read."""
    for line in reversed(logs.tail(record, 3)):  # its last line may be half of one: a full disk
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return _last_run(json.loads(line))
    return None


def _last_run(values: dict[str, Any]) -> LastRun:
    if "end" not in values:
        begun = datetime.fromisoformat(values["start"]).timestamp()
        state = "killed" if is_mark_gone(values.get("process") or str(values["pid"]), begun) else "running"
        return LastRun(values["start"], "", state, None, ())
    code = values["exit_code"]
    return LastRun(values["start"], values["end"], "failed" if code else "done", code, tuple(values["steps"]))
