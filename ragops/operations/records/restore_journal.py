"""The progress of a restore, so that the next run continues where a killed one ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ragops.adapters.state_file import StateFile

if TYPE_CHECKING:
    from pathlib import Path

_FRESH = timedelta(hours=24)


@dataclass(frozen=True)
class Interrupted:
    """An interrupted restore: its recovery point, `services` in order, those `done`, its safety point."""

    point: str
    services: tuple[str, ...]
    started: str
    done: tuple[str, ...] = ()
    safety: str = ""

    @property
    def fresh(self) -> bool:
        """Whether what it has restored can still be taken for what the recovery point holds."""
        age = datetime.now(tz=UTC) - datetime.fromisoformat(self.started)
        return timedelta(0) <= age < _FRESH


class RestoreJournal:
    """The note in `path`; there is none while no restore is under way."""

    def __init__(self, path: Path) -> None:
        self._file = StateFile(path, Interrupted)

    def read(self) -> Interrupted | None:
        """Return the restore that has not come to its end, None without one or if the note cannot be read."""
        found = self._file.read()
        try:
            return found if found and datetime.fromisoformat(found.started).tzinfo else None
        except ValueError:
            return None

    def begin(self, point: str, services: tuple[str, ...], safety: str) -> Interrupted:
        """Note that a restore begins."""
        return self._write(Interrupted(point, services, datetime.now(tz=UTC).isoformat(), (), safety))

    def did(self, state: Interrupted, service: str) -> Interrupted:
        """Note that `service` is back."""
        return self._write(replace(state, done=(*state.done, service)))

    def end(self) -> None:
        """Note that it came to its end."""
        self._file.remove()

    def _write(self, state: Interrupted) -> Interrupted:
        self._file.write(state)
        return state
