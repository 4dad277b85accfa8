"""Alert rules and dashboards as files, for a Prometheus and a Grafana of one's own; runbooks by alert."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from ragops.adapters.files import PUBLIC_MODE, write_atomic
from ragops.errors import MissingError, RagopsError, UsageError
from ragops.resources import page_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PROMETHEUS_URL = "http://127.0.0.1:9090"


@dataclass(frozen=True)
class MetricsExport:
    """What was written: `folder`, and the files below it by their relative path."""

    folder: str
    rules: tuple[str, ...]
    dashboards: tuple[str, ...]
    provisioning: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.rules, *self.dashboards, *self.provisioning)


def export(folder: Path, prometheus: str = PROMETHEUS_URL, runbooks: str = "") -> MetricsExport:
    """Write rules, dashboards and a Grafana provisioning folder below `folder`; files of other names stay.

    `prometheus` is the URL by which Grafana reaches Prometheus, `runbooks` one below which the pages of docs/runbooks/
    can be read. Raises UsageError (not_a_folder), RagopsError (not_permitted), MissingError (disk_full).
    """
    from ragops.services.observability.dashboards import render_dashboards
    from ragops.services.observability.rules import render_rules

    if folder.exists() and not folder.is_dir():
        raise UsageError("not_a_folder", f"cannot write to {folder}: it is a file", "name a folder")
    rules = _below("rules", render_rules(runbooks))
    dashboards = _below("dashboards", render_dashboards())
    provisioning = _provisioning(str(folder.absolute() / "dashboards"), prometheus)
    for name, text in {**rules, **dashboards, **provisioning}.items():
        path = folder / name
        _make_folder(path.parent)
        write_atomic(path, text, PUBLIC_MODE)
    return MetricsExport(str(folder), tuple(rules), tuple(dashboards), tuple(provisioning))


def runbook(alert: str) -> str:
    """Return the runbook of an alert as Markdown. Raises UsageError (unknown_alert)."""
    from ragops.services.observability.rules import alerts

    known = alerts()
    if alert not in known:
        near = get_close_matches(alert, known, 1)
        hint = f"did you mean {near[0]}?" if near else "`ragops metrics runbook` lists all of them"
        raise UsageError("unknown_alert", f"there is no alert {alert!r}", hint)
    page = f"runbooks/{known[alert].runbook}.md"
    try:
        return page_text(page)
    except OSError as error:
        what = f"cannot read docs/{page}: {error.strerror or error}"
        raise MissingError("page_missing", what, "install ragops again") from error


def list_alerts() -> tuple[tuple[str, str, str], ...]:
    """Return name, severity and summary of every alert."""
    from ragops.services.observability.rules import alerts

    return tuple((alert.name, alert.severity.value, alert.summary) for alert in alerts().values())


def _below(folder: str, files: Mapping[str, str]) -> dict[str, str]:
    return {f"{folder}/{name}": text for name, text in files.items()}


def _provisioning(dashboards: str, prometheus: str) -> dict[str, str]:
    from ragops.services.observability.provisioning import dashboard_provider, data_source

    return {
        "grafana/provisioning/datasources/ragops.yaml": data_source(prometheus),
        "grafana/provisioning/dashboards/ragops.yaml": dashboard_provider(dashboards),
    }


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"cannot make the folder {folder}: {error.strerror or error}"
        raise RagopsError("not_permitted", what, "name a folder that you may write to") from error
