"""Health: the checks of one service and their result."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ragops.units import size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_FULL = 0.9  # share of a disk from which on it is reported
SCHEMA_MISSING = "schema_missing"  # code of the check of a database that waits for its first migration


class Status(StrEnum):
    """How well something is, best first."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True)
class Check:
    """One thing that a probe checked; `hint` is what to do if it is not ok.

    `code` is a stable snake_case word for what other code acts on, empty if none does.
    """

    name: str
    status: Status
    detail: str
    hint: str = ""
    code: str = ""


@dataclass(frozen=True)
class ProbeResult:
    """All checks of one service and how long they took, in seconds.

    `counted` is what it counted on the way, by name, for metrics.
    """

    service: str
    checks: tuple[Check, ...]
    seconds: float
    version: str = ""
    counted: Mapping[str, float] = field(default_factory=dict)

    @property
    def status(self) -> Status:
        """The worst of the checks."""
        order = list(Status)
        return max((check.status for check in self.checks), key=order.index, default=Status.DOWN)


def check_disk(folder: Path) -> Iterator[Check]:
    """Check the disk that holds `folder`; nothing if the folder is not there."""
    if folder.is_dir():
        usage = shutil.disk_usage(folder)
        full = usage.used > _FULL * (usage.used + usage.free)
        status = Status.DEGRADED if full else Status.OK
        yield Check("disk", status, f"{size(usage.free)} free", "free some space on that disk" if full else "")
