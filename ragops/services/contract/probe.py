"""Health: the checks of one service and their result."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How well something is, best first."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True)
class Check:
    """One thing that a probe looked at; `hint` says the cure where it is not ok."""

    name: str
    status: Status
    detail: str
    hint: str = ""


@dataclass(frozen=True)
class ProbeResult:
    """All checks of one service and how long they took, in seconds."""

    service: str
    checks: tuple[Check, ...]
    seconds: float
    version: str = ""

    @property
    def status(self) -> Status:
        """The worst of the checks."""
        order = list(Status)
        return max((check.status for check in self.checks), key=order.index, default=Status.DOWN)
