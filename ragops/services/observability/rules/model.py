"""What a rule of Prometheus is made of, before it is rendered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PLATFORM = "platform, environment"
"""The labels that one platform has for itself: what is summed up is summed up by them."""


class Severity(StrEnum):
    """What an alert asks of a person."""

    CRITICAL = "critical"
    """Somebody is hurt now, or data are at risk: wake a person."""
    WARNING = "warning"
    """It will hurt somebody if no one looks at it in the next days."""
    NONE = "none"
    """No one is to be notified: it proves that alerts arrive."""


@dataclass(frozen=True)
class Alert:
    """A condition that a person has to hear of.

    `name` is its name in Prometheus, `expr` PromQL that has a series for each thing that is wrong, `for_` how long it
    has to be so, as Prometheus writes durations (`5m`). `service` is the service of ragops which it is about; empty:
    that of the series. `summary` is one line, `description` what it means and what to do first; both may use
    `{{ $labels.NAME }}` and `{{ $value }}`. `runbook` names the page in docs/runbooks/, which several alerts may share.
    """

    name: str
    expr: str
    for_: str
    severity: Severity
    summary: str
    description: str
    runbook: str
    service: str = ""


@dataclass(frozen=True)
class Recording:
    """A series that Prometheus computes from others: `record` is its name, `expr` its PromQL."""

    record: str
    expr: str


@dataclass(frozen=True)
class Group:
    """Rules of one subject, which become one file."""

    name: str
    recordings: tuple[Recording, ...] = ()
    alerts: tuple[Alert, ...] = ()
