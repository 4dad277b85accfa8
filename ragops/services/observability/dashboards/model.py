"""What a dashboard is made of, before it is rendered for Grafana."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

WHERE = 'platform="$platform", environment="$environment", instance=~"$instance"'
"""What `%` stands for in the expressions of panels: the platform and the instances that a person has chosen."""
PLATFORM = 'platform="$platform", environment="$environment"'
"""What `@` stands for: the platform alone, for series without instances."""


class Kind(StrEnum):
    """How a panel shows its series."""

    LINES = "lines"
    NUMBER = "number"


@dataclass(frozen=True)
class Query:
    """PromQL and the name of its series, with `{{label}}` for the value of a label."""

    expr: str
    name: str = ""

    @property
    def promql(self) -> str:
        """The expression with the variables of a dashboard in it."""
        return self.expr.replace("%", WHERE).replace("@", PLATFORM)


@dataclass(frozen=True)
class Panel:
    """One picture. `purpose` is what it is for, `when_red` what to do then, `alert` the alert with its runbook.

    `unit` is one of Grafana's. From `red` on its values are red; below it if `low_is_red`.
    """

    title: str
    queries: tuple[Query, ...]
    unit: str
    purpose: str
    when_red: str
    red: float | None = None
    low_is_red: bool = False
    kind: Kind = Kind.LINES
    alert: str = ""

    @property
    def description(self) -> str:
        """The text behind the panel's mark."""
        text = f"{self.purpose} Red: {self.when_red}"
        return f"{text} (`ragops metrics runbook {self.alert}`)" if self.alert else text


@dataclass(frozen=True)
class Row:
    """Panels below one title."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Board:
    """A dashboard: `uid` never changes, so that links to it hold."""

    uid: str
    title: str
    purpose: str
    rows: tuple[Row, ...]
    instances: str = ""
    """The series whose instances can be chosen from."""

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels, in order."""
        return tuple(panel for row in self.rows for panel in row.panels)


def lines(title: str, unit: str, purpose: str, when_red: str, *queries: tuple[str, str], **more: object) -> Panel:
    """Return a panel of lines over time; queries are PromQL and the name of the series."""
    return Panel(title, tuple(Query(*one) for one in queries), unit, purpose, when_red, **more)  # type: ignore[arg-type]


def number(title: str, unit: str, purpose: str, when_red: str, expr: str, **more: object) -> Panel:
    """Return a panel that shows the value of now."""
    return Panel(title, (Query(expr),), unit, purpose, when_red, kind=Kind.NUMBER, **more)  # type: ignore[arg-type]
