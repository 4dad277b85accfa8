"""Commands that look: status, outputs, logs, drift, health."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli import completion
from ragops.cli.state import state
from ragops.errors import ExitCode, RagopsError
from ragops.services import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ragops.cli.console import Console
    from ragops.operations.observe.health import Health
    from ragops.operations.session import Session


_NAGIOS_UNKNOWN = 3
_WATCH_SECONDS = 2.0


class HealthFormat(StrEnum):
    """How `health` prints."""

    table = "table"
    json = "json"
    prometheus = "prometheus"
    nagios = "nagios"


class OutputFormat(StrEnum):
    """How `outputs` prints."""

    env = "env"
    json = "json"


def status(context: typer.Context) -> None:
    """Show what runs and where.

    Example: ragops status
    """
    from ragops.cli.views import show_status
    from ragops.operations.observe.status import status as operation

    current = state(context)
    result = operation(current.session())
    current.console.document(result)
    show_status(current.console, result)


def outputs(
    context: typer.Context,
    output_format: Annotated[
        OutputFormat, typer.Option("--format", metavar="FORMAT", help="env or json.")
    ] = OutputFormat.env,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Passwords in the clear.")] = False,
) -> None:
    """Print connection settings for applications.

    Passwords are masked unless asked for.

    Example: ragops outputs --format env --show-secrets > .env
    """
    from ragops.operations.observe.status import outputs as operation

    current = state(context)
    values = operation(current.session(), show_secrets=show_secrets)
    current.console.as_json |= output_format is OutputFormat.json
    current.console.document(values)
    for name, value in values.items():
        current.console.text(f"{name}={value}")


def logs(
    context: typer.Context,
    services: Annotated[
        list[str],
        typer.Argument(metavar="SERVICE", autocompletion=completion.services, help=f"Some of: {', '.join(names())}."),
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing lines as they are appended.")] = False,
    lines: Annotated[
        int | None,
        typer.Option("--lines", "-n", min=0, metavar="N", help="Lines from the end; 100, with --since all."),
    ] = None,
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="10m, 2h, 1d, or a time.")] = "",
    grep: Annotated[str, typer.Option("--grep", metavar="PATTERN", help="Lines that match a regular expression.")] = "",
    probes: Annotated[bool, typer.Option("--probes", help="Successful health probes and scrapes, too.")] = False,
) -> None:
    """Print the logs of services, merged by time.

    Columns are time, instance, level, status, duration, and the message with what else the line has.

    Example: ragops logs api gateway --since 10m --grep search
    """
    from ragops.cli.log_lines import show
    from ragops.operations.observe import logs as operation

    console = state(context).console
    query = operation.LogQuery(
        lines=lines if lines is not None or since else operation.LINES,
        since=operation.read_since(since) if since else None,
        pattern=operation.read_pattern(grep) if grep else None,
        with_probes=probes,
    )
    session = state(context).session()
    if not follow:
        found = operation.read(session, services, query)
        console.document(found)
        show(console, found.lines)
        return
    with _until_interrupted(following=True):
        for entry in operation.follow(session, services, query):
            console.document(entry)
            show(console, (entry,))


def drift(context: typer.Context) -> None:
    """Compare reality with what was provisioned.

    Exits with 4 if they differ.

    Example: ragops drift
    """
    from ragops.operations.lifecycle.provision import drift as operation

    current = state(context)
    result = operation(current.session())
    current.console.document(result)
    for item in result.resources:
        current.console.text(f"{item.resource}: {item.detail}")
    if not result.resources:
        current.console.text("no drift")
    if result.resources:
        current.console.message("`ragops up` repairs it")
        raise typer.Exit(ExitCode.CHANGES)


def health(
    context: typer.Context,
    services: Annotated[
        list[str] | None,
        typer.Argument(metavar="SERVICE", autocompletion=completion.services, help="All if none is named."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every 2 seconds until interrupted.")] = False,
    output_format: Annotated[
        HealthFormat, typer.Option("--format", metavar="FORMAT", help="table, json, prometheus or nagios.")
    ] = HealthFormat.table,
    timeout: Annotated[float, typer.Option(min=0.1, max=300, metavar="SECONDS", help="Deadline of every probe.")] = 5.0,
) -> None:
    """Probe every service at once.

    Every probe has a deadline. Exits with 3 if a service is not well.

    Example: ragops health --format nagios
    """
    from ragops.operations.observe.health import check
    from ragops.operations.records.figures import note_health

    current = state(context)
    code: int = ExitCode.DONE
    with _until_interrupted(following=watch):
        try:
            session = current.session()
            figures = partial(_figures, session) if not services else str
            found = check(session, services or (), timeout)
            if not services:
                note_health(session, found)
            code = _show(current.console, found, output_format, figures)
        except RagopsError as error:
            if output_format is not HealthFormat.nagios or current.console.as_json:
                raise
            current.console.text(f"RAGOPS UNKNOWN - {error.message.splitlines()[0]}")
            raise typer.Exit(_NAGIOS_UNKNOWN) from error
        while watch:
            time.sleep(_WATCH_SECONDS)
            found = check(session, services or (), timeout)
            if output_format is HealthFormat.table:
                current.console.next_round(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S}")
            code = _show(current.console, found, output_format, figures)
    raise typer.Exit(ExitCode.DONE if watch else code)


@contextmanager
def _until_interrupted(*, following: bool) -> Iterator[None]:
    """Ctrl-C is how a command that follows is meant to end: no failure."""
    try:
        yield
    except KeyboardInterrupt:
        if not following:
            raise


def _figures(session: Session) -> str:
    from ragops.operations.records.outcomes import metrics_text

    return metrics_text(session)


def _show(console: Console, result: Health, output_format: HealthFormat, figures: Callable[[], str]) -> int:
    """Print the health, for Prometheus with the figures of backups; returns the exit code in its format's terms."""
    from ragops.cli import views

    console.as_json |= output_format is HealthFormat.json
    console.document({"status": result.status.value, **views.jsonable(result)})
    if output_format is HealthFormat.nagios and not console.as_json:
        line, code = views.nagios(result)
        console.text(line)
        return code
    if output_format is HealthFormat.prometheus and not console.as_json:
        console.text(f"{views.prometheus(result)}\n{figures()}".rstrip("\n"))
    else:
        views.show_health(console, result)
    return ExitCode.DONE if result.status.value == "ok" else ExitCode.UNHEALTHY
