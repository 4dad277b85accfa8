"""Commands on metrics: export, runbook, targets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ragops.cli.help import Application
from ragops.cli.state import state

group = Application(help="Pages of metrics, alert rules, dashboards and runbooks, also for a Prometheus of one's own.")


@group.command()
def export(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Is made if it is missing; other files in it stay.")],
    prometheus: Annotated[
        str, typer.Option(metavar="URL", help="How Grafana reaches Prometheus.")
    ] = "http://127.0.0.1:9090",
    runbooks: Annotated[
        str, typer.Option(metavar="URL", help="Where the pages of docs/runbooks/ can be read, for links in alerts.")
    ] = "",
) -> None:
    """Write alert rules, dashboards and a Grafana provisioning folder as files.

    They hold for every platform that is scraped, so that a team's own Prometheus and Grafana can have them.

    Example: ragops metrics export observability
    """
    from ragops.operations.observe.metrics_export import export as operation

    console = state(context).console
    found = operation(folder, prometheus, runbooks)
    console.document(found)
    for name in found.files:
        console.text(f"{found.folder}/{name}")


@group.command()
def runbook(
    context: typer.Context,
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="Its name; without one all are listed.")] = "",
) -> None:
    """Print what to do when an alert fires: how to see it, its cause, the remedy, and how to prove that it is over.

    Example: ragops metrics runbook ApiDown
    """
    from ragops.operations.observe import metrics_export

    console = state(context).console
    if not alert:
        found = metrics_export.list_alerts()
        console.document([{"alert": name, "severity": severity, "summary": text} for name, severity, text in found])
        console.table(("alert", "severity", "summary"), found)
        return
    text = metrics_export.runbook(alert)
    console.document({"alert": alert, "text": text})
    console.text(text.rstrip())


@group.command()
def targets(
    context: typer.Context,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write them there instead, for `file_sd_configs`.")
    ] = None,
) -> None:
    """Print the pages of metrics for a Prometheus of your own.

    As a file of its service discovery (file_sd_configs), with the labels job, service, instance, platform and
    environment. What asks for a token is named on stderr with the secret's name.

    Example: ragops metrics targets > targets.json
    """
    import json

    from ragops.operations.observe.metrics_targets import list_targets, write_targets

    current = state(context)
    found = list_targets(current.session())
    if output is not None:
        write_targets(found, output)
        current.console.message(f"{len(found.pages)} pages written to {output}")
    current.console.document(found)
    if output is None:
        current.console.text(json.dumps(list(found.groups), indent=2))
    for page in found.pages:
        if page.secret:
            current.console.message(f"{page.job} asks for a bearer token: the secret {page.secret}")
