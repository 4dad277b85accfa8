"""What ragops last saw of a platform, for metrics: health, drift, and whether its runs by the clock are installed."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  read when the file is
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ragops.adapters.state_file import StateFile

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Observations:
    """Instants are seconds of the epoch, 0 if nothing was looked at yet.

    `health` are the statuses of all probes, as words, by name; `drift` is how many resources differed; `scheduled` is,
    for each kind of run, whether it is installed; `points` is what `Listing.count` counted in the first repository.
    """

    health_time: float = 0.0
    health: Mapping[str, str] = field(default_factory=dict)
    drift_time: float = 0.0
    drift: int = 0
    scheduled: Mapping[str, bool] = field(default_factory=dict)
    points: Mapping[str, float] = field(default_factory=dict)


def read(path: Path) -> Observations:
    """Return what was seen last; nothing was without a file that can be read."""
    return StateFile(path, Observations).read() or Observations()


def note(path: Path, **seen: Any) -> None:
    """Keep what was seen, by field; all else stays. Raises RagopsError (not_permitted), MissingError (disk_full)."""
    StateFile(path, Observations).write(replace(read(path), **seen))
