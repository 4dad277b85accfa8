"""Rules as the files that Prometheus reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ragops.services.observability.rules.model import Alert, Group

_HEAD = "# Rendered by ragops. `ragops metrics export` writes the same files for a Prometheus of one's own.\n"


def render_groups(groups: Iterable[Group], runbooks: str = "") -> Mapping[str, str]:
    """Return the rule files of Prometheus, YAML by file name, one for each group.

    `runbooks` is a URL below which the pages of docs/runbooks/ can be read; each alert then has a `runbook_url`.
    """
    return {f"ragops-{group.name}.yml": _file(group, runbooks.rstrip("/")) for group in groups}


def _file(group: Group, runbooks: str) -> str:
    rules: list[dict[str, Any]] = [{"record": one.record, "expr": one.expr} for one in group.recordings]
    rules += [_alert(one, runbooks) for one in group.alerts]
    made: dict[str, Any] = {"name": f"ragops-{group.name}"}
    text = yaml.safe_dump({"groups": [made | {"rules": rules}]}, sort_keys=False, width=4096, allow_unicode=True)
    return _HEAD + text


def _alert(alert: Alert, runbooks: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": alert.name, "expr": alert.expr}
    rule |= {"for": alert.for_} if alert.for_ else {}
    labels = {"severity": alert.severity.value} | ({"service": alert.service} if alert.service else {})
    notes = {"summary": alert.summary, "description": alert.description}
    notes |= {"runbook": f"ragops metrics runbook {alert.name}"}
    notes |= {"runbook_url": f"{runbooks}/{alert.runbook}.md"} if runbooks else {}
    return rule | {"labels": labels, "annotations": notes}
