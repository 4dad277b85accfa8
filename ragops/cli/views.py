"""Results as JSON values and as words; no view asks anything of the platform."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from ragops.hints import complete_commands
from ragops.units import duration, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.cli.console import Console
    from ragops.operations.lifecycle.doctor import Diagnosis
    from ragops.operations.lifecycle.plan_diff import Change
    from ragops.operations.lifecycle.version_changes import VersionChange
    from ragops.operations.observe.health import Health
    from ragops.operations.observe.status import PlatformStatus
    from ragops.services.contract import Check

_MARKS = {"create": "+", "update": "~", "replace": "±", "delete": "-"}


def jsonable(value: Any) -> Any:
    """`value` as JSON values: dataclasses as objects, enums as their words, instants as ISO 8601, secrets never."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: jsonable(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, SecretStr):
        return None
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def show_changes(console: Console, changes: Sequence[Change]) -> None:
    """One line for each change, its diff indented below it."""
    for change in changes:
        console.text(f"{_MARKS.get(change.action.value, '?')} {change.resource}: {change.action.value}")
        for detail in change.details:
            console.text(f"    {detail}")
    count = len(changes)
    console.text("no changes" if not changes else f"{count} change{'s' if count > 1 else ''}")


def show_versions(console: Console, versions: Sequence[VersionChange]) -> None:
    """One line for each engine that would run another version, in order, with what that costs or why it is refused."""
    for change in versions:
        verdict = "" if change.allowed else "refused: "
        console.text(f"{change.service} {change.before} → {change.after}: {verdict}{change.detail}")
        if change.hint:
            console.text(f"    {complete_commands(change.hint)}")


def show_status(console: Console, status: PlatformStatus) -> None:
    """Print what runs and where."""
    runtime = status.services[0].runtime if status.services else "-"
    columns = ("SERVICE", "STATE", "ENGINE", "ADDRESS", _id_title(runtime), "UP", "MEMORY")
    rows = [
        (
            item.instance,
            item.state,
            f"{item.title} {item.version}",
            item.address,
            item.ident[:12] or "-",
            duration(item.uptime) if item.ident else "-",
            size(item.memory) if item.ident else "-",
        )
        for item in status.services
    ]
    title = f"{status.name} · environment {status.environment} · runtime {runtime}"
    console.table(columns, rows, title, optional=("MEMORY", "UP", "ENGINE"))


def _id_title(runtime: str) -> str:
    from ragops.runtimes import registry

    return registry.facts(runtime).id_title if runtime in registry.names() else "ID"


def show_health(console: Console, health: Health) -> None:
    """One line for each check, then the verdict."""
    rows = [(probe.service, *_check_row(check)) for probe in health.probes for check in probe.checks]
    console.table(("SERVICE", "CHECK", "STATUS", "DETAIL"), rows)
    console.text(f"{health.status.value} in {duration(health.seconds)}")


def show_diagnosis(console: Console, diagnosis: Diagnosis) -> None:
    """One line for each finding, then the verdict."""
    console.table(("CHECK", "STATUS", "DETAIL"), [_check_row(check) for check in diagnosis.checks])
    console.text("ready" if diagnosis.ready else "not ready")


def _check_row(check: Check) -> tuple[str, str, str]:
    hint = f" → {check.hint}" if check.hint else ""
    return check.name, check.status.value, f"{check.detail}{hint}"


def prometheus(health: Health) -> str:
    """Return the health in Prometheus's text format; 1 is ok, 0.5 degraded, 0 down."""
    from ragops.adapters.prometheus import gauge, render

    values = {"ok": 1.0, "degraded": 0.5, "down": 0.0}
    checks = [
        ({"service": probe.service, "check": check.name}, values[check.status.value])
        for probe in health.probes
        for check in probe.checks
    ]
    times = [({"service": probe.service}, round(probe.seconds, 6)) for probe in health.probes]
    return render(
        [
            gauge("ragops_health", "1 is ok, 0.5 degraded, 0 down.", checks),
            gauge("ragops_probe_seconds", "Duration of a service's probe.", times),
        ]
    ).rstrip("\n")


def nagios(health: Health) -> tuple[str, int]:
    """Return the health as one Nagios line with its exit code (0 OK, 1 WARNING, 2 CRITICAL)."""
    word, code = {"ok": ("OK", 0), "degraded": ("WARNING", 1), "down": ("CRITICAL", 2)}[health.status.value]
    wrong = [
        f"{probe.service} {check.name}: {check.detail}"
        for probe in health.probes
        for check in probe.checks
        if check.status.value != "ok"
    ]
    times = " ".join(f"{probe.service}={probe.seconds:.3f}s" for probe in health.probes)
    return f"RAGOPS {word} - {'; '.join(wrong) or 'all services healthy'} | {times}", code
