"""The change of the Qdrant cluster that is under way, so that the next run continues where a killed one ended."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  pydantic reads the annotations
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.adapters.state_file import StateFile

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class UnfinishedChange:
    """A change that has begun: the words of its command, the weights that its plan is made with, its last step.

    `facts` are what the command itself has to keep.
    """

    words: tuple[str, ...]
    weights: Mapping[str, int]
    started: str
    step: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The command that continues it."""
        return " ".join(("ragops", "cluster", *self.words))


class ClusterJournal:
    """The note in `path`; there is none while no change is under way."""

    def __init__(self, path: Path) -> None:
        self._file = StateFile(path, UnfinishedChange)

    def read(self) -> UnfinishedChange | None:
        """Return the change that has not come to its end, None without one or if the note cannot be read."""
        return self._file.read()

    def begin(self, words: tuple[str, ...], weights: Mapping[str, int]) -> UnfinishedChange:
        """Note that a change begins."""
        return self._write(UnfinishedChange(words, weights, datetime.now(tz=UTC).isoformat()))

    def note_step(self, step: str) -> None:
        """Note that a step begins."""
        if found := self.read():
            self._write(replace(found, step=step))

    def note_fact(self, name: str, value: str) -> None:
        """Note what the command itself has to keep."""
        if found := self.read():
            self._write(replace(found, facts={**found.facts, name: value}))

    def end(self) -> None:
        """Note that it came to its end."""
        self._file.remove()

    def _write(self, state: UnfinishedChange) -> UnfinishedChange:
        self._file.write(state)
        return state
