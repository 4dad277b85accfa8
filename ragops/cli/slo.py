"""`ragops slo`: service levels and KPIs as tables and a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli.state import state
from ragops.units import duration

if TYPE_CHECKING:
    from ragops.operations.observe.service_levels import Kpi, ServiceLevels, Window

_COLUMNS = ("DAYS", "COVERED", "REQUESTS", "FAILED", "AVAILABILITY", "BUDGET LEFT", "API UP", "P50", "P95", "P99")
_VERDICTS = {True: "met", False: "missed", None: "open"}


def slo(
    context: typer.Context,
    prometheus: Annotated[
        str, typer.Option("--prometheus", metavar="URL", help="A Prometheus that scrapes the platform; else its own.")
    ] = "",
) -> None:
    """Show availability, latency and error budget of 1, 7 and 30 days, and the KPIs.

    The goal is 99.99% of requests without a 5xx; the error budget is the 0.01% that may fail.

    Example: ragops slo
    """
    from ragops.operations.observe.service_levels import measure

    current = state(context)
    found = measure(current.session(), prometheus)
    console = current.console
    console.document(found)
    rows = [_row(window) for window in found.windows]
    console.table(_COLUMNS, rows, optional=("API UP", "P50", "FAILED"))
    console.text("")
    console.table(("KPI", "VALUE", "TARGET", "VERDICT", "DETAIL"), [_kpi(one) for one in found.kpis])
    console.text("")
    console.text(_words(found))
    if (last := found.windows[-1]).covered < 0.99 * last.days * 86400:
        console.message(f"Prometheus holds figures of {duration(last.covered)} of the last {last.days} days")


def _row(window: Window) -> tuple[str, ...]:
    budget = window.budget
    return (
        str(window.days),
        duration(window.covered),
        f"{window.requests:.0f}",
        f"{window.failed:.0f}",
        _percent(window.availability, 4),
        _percent(budget.left if budget else None, 1),
        _percent(window.up, 3),
        *(_milliseconds(value) for value in (window.p50, window.p95, window.p99)),
    )


def _kpi(one: Kpi) -> tuple[str, ...]:
    is_share = one.name.endswith("rate")
    value = "-" if one.value is None else _percent(one.value, 1) if is_share else f"{one.value:.1f}"
    target = _percent(one.target, 0) if is_share else f"{one.target:g}"
    return one.name, value, target, _VERDICTS[one.is_met], one.detail


def _words(found: ServiceLevels) -> str:
    """Return a sentence about the longest window."""
    window = found.windows[-1]
    goal = f"{found.objective:.2%}"
    if window.availability is None or window.budget is None:
        return f"No request was counted in {window.days} days: nothing is known about {goal}."
    verdict = "holds" if window.availability >= found.objective else "misses"
    left = window.budget.left
    spent = (
        f"{left:.0%} of the error budget is left" if left >= 0 else f"the error budget is spent {1 - left:.1f} times"
    )
    return (
        f"Over {duration(window.covered)} the platform {verdict} {goal}: {window.failed:.0f} of"
        f" {window.requests:.0f} requests failed (counted by {found.source}), {spent}."
    )


def _percent(share: float | None, digits: int) -> str:
    return "-" if share is None else f"{100 * share:.{digits}f}%"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.1f} ms"
