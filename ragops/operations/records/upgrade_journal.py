"""The progress of an upgrade of Qdrant, so that the next run continues where a killed one ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.adapters.state_file import StateFile

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class UnfinishedUpgrade:
    """An upgrade from `before` to `target`; `point` is the recovery point that was taken before it.

    `stage` is the version on the way that nodes are brought to, empty before the first.
    """

    before: str
    target: str
    point: str
    started: str
    stage: str = ""


class UpgradeJournal:
    """The note in `path`; there is none while no upgrade is under way."""

    def __init__(self, path: Path) -> None:
        self._file = StateFile(path, UnfinishedUpgrade)

    def read(self) -> UnfinishedUpgrade | None:
        """Return the upgrade that has not come to its end, None without one or if the note cannot be read."""
        return self._file.read()

    def begin(self, before: str, target: str, point: str) -> UnfinishedUpgrade:
        """Note that an upgrade begins; `point` is empty if no recovery point could be taken."""
        noted = UnfinishedUpgrade(before, target, point, datetime.now(tz=UTC).isoformat())
        self._file.write(noted)
        return noted

    def note_stage(self, version: str) -> None:
        """Note the version that nodes are brought to from now on."""
        if noted := self.read():
            self._file.write(replace(noted, stage=version))

    def end(self) -> None:
        """Note that it came to its end."""
        self._file.remove()
