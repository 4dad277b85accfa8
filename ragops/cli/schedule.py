"""Commands on the nightly run: backup schedule install, show, remove, and what it runs: backup scheduled."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli import backup
from ragops.cli.console import Console
from ragops.cli.help import Application
from ragops.cli.state import State, state

if TYPE_CHECKING:
    from ragops.config.load import Project
    from ragops.operations.backup.verify import VerifyResult
    from ragops.operations.schedule.install import LastRun
    from ragops.operations.schedule.nightly_steps import Views
    from ragops.services.timescaledb.schema.maintenance import MaintenanceReport

group = Application(help="The nightly run: backup, prune, prove, maintain.")

DRILL_DAY = "sunday"


@group.command()
def install(
    context: typer.Context,
    at: Annotated[str, typer.Option(metavar="HH:MM", help="Time of day on this machine.")] = "02:00",
    planner: Annotated[
        str, typer.Option("--with", metavar="NAME", help="cron or systemd; systemd if it runs and none is named.")
    ] = "",
    drill: Annotated[
        str | None,
        typer.Option(metavar="WEEKDAY", help="Drill the newest one that day, 2 h later; or none. Sunday if not given."),
    ] = None,
) -> None:
    """Have the nightly run started by cron or a systemd timer.

    In your own crontab or units; other lines stay as they are, and installing again replaces what was installed.

    Example: ragops backup schedule install --at 02:30 --with cron
    """
    from ragops.operations.schedule import install as schedule
    from ragops.operations.schedule.nightly_steps import NO_PROOF, can_open, drill_weekday
    from ragops.operations.schedule.scheduler_files import Schedule, parse_time

    current = state(context)
    session = current.session()
    project = session.project
    minute, weekday = parse_time(at), drill_weekday(project, drill)
    wanted = Schedule(project.settings.name, project.paths.environment, project.config, sys.executable, minute, weekday)
    with session.changing(("schedule",)):
        report = schedule.install(wanted, schedule.schedulers(), planner)
    current.console.document(report)
    current.console.text(report.installed.text.rstrip("\n"))
    for note in (*report.notes, *([] if drill or can_open(project) else [NO_PROOF])):
        current.console.message(f"note: {note}")
    current.console.message(
        f"installed with {report.installed.planner}, next run {_instant(report.installed.next_run)}"
    )


@group.command()
def show(context: typer.Context) -> None:
    """Show what is installed, when it runs next and how it went last.

    Exits with 7 if nothing is installed.

    Example: ragops backup schedule show
    """
    from ragops.operations.schedule import install as schedule

    current = state(context)
    standing = schedule.show(current.project(), schedule.schedulers())
    current.console.document(standing)
    for item in standing.installed:
        current.console.text(item.text.rstrip("\n"))
        current.console.text(f"{item.planner}, next run {_instant(item.next_run)}")
    current.console.text(f"last run: {_last(standing.last)}")
    current.console.text(f"log: {standing.log}")


@group.command()
def remove(context: typer.Context) -> None:
    """Take the nightly run out of cron or systemd.

    Exactly what was installed for this project and environment; log and recovery points stay.

    Example: ragops backup schedule remove
    """
    from ragops.operations.schedule import install as schedule

    current = state(context)
    session = current.session()
    with session.changing(("schedule",)):
        gone = schedule.remove(session.project, schedule.schedulers())
    current.console.document({"removed": list(gone)})
    current.console.message(f"removed from {' and '.join(gone)}" if gone else "nothing was scheduled")


def scheduled(context: typer.Context) -> None:
    """Do what the schedule runs: backup, prune, prove, maintain, pings, log.

    What was taken is restored away from the live data, as far as ten minutes for each service go; what had no time
    comes first another night. Maintains the database whatever the backup came to. Ends with the exit code of the first
    step that failed; the log is .ragops/schedule/ENV.log.

    Example: ragops backup scheduled
    """
    from ragops.operations.schedule import step_runner as operation
    from ragops.operations.schedule.nightly_steps import nightly_steps

    current = state(context)
    project = current.project()
    # The log wants words, whatever the caller wants.
    inner = State(Console(color=False, verbose=current.console.verbose), current.config, current.environment)
    report = operation.run(
        nightly_steps(project, inner.session, _views(inner)),
        operation.files_of(project.paths),
        project.settings.backup.ping,
        secrets=_known_secrets(project),
        echo=None if current.console.quiet else sys.stderr,
    )
    if report.failure is not None:
        raise report.failure
    current.console.document(report)


def _known_secrets(project: Project) -> tuple[str, ...]:
    """Return what no ping may hold; a file that cannot be read fails the steps, which then say so."""
    from ragops.config import secrets
    from ragops.errors import RagopsError

    try:
        return tuple(secrets.load(project.paths.secrets).values())
    except RagopsError:
        return ()


def _views(current: State) -> Views:
    """Return how the steps are shown: as text, for the log."""
    from ragops.cli.progress import bars
    from ragops.operations.schedule.nightly_steps import Views

    console = current.console

    def proven(result: VerifyResult) -> None:
        for one in result.proofs:
            console.message(f"{one.service}: {one.proof.extent.value}: {one.proof.detail}")

    def maintained(report: MaintenanceReport) -> None:
        made, refreshed, dropped = len(report.partitions_made), len(report.refreshed), len(report.dropped)
        console.message(f"{made} made, {refreshed} refreshed, {dropped} dropped")

    return Views(
        progress=lambda: bars(console),
        taken=lambda report: backup.show_taken(current, report.result, report.pruned),
        proven=proven,
        maintained=maintained,
        message=console.message,
    )


def _instant(when: object) -> str:
    from datetime import datetime

    return f"{when:%Y-%m-%d %H:%M}" if isinstance(when, datetime) else "not known: its time was changed by hand"


def _last(last: LastRun | None) -> str:
    if last is None:
        return "none yet"
    if last.exit_code is None:
        return f"{last.start}, {'still running' if last.state == 'running' else 'killed before its end'}"
    steps = ", ".join(f"{step['name']} {step['exit_code']}" for step in last.steps)
    return f"{last.start}, exit code {last.exit_code} ({steps})"
