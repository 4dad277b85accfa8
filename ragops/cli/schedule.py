"""Commands on what runs by the clock: schedule install, show, remove, and what that runs."""

from __future__ import annotations

import inspect
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli import backup
from ragops.cli.console import Console
from ragops.cli.help import Application
from ragops.cli.state import State, state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.config.load import Project
    from ragops.operations.backup.verify import VerifyResult
    from ragops.operations.schedule.install import InstallReport
    from ragops.operations.schedule.last_run import LastRun
    from ragops.operations.schedule.nightly_steps import Views
    from ragops.services.timescaledb.schema.maintenance import MaintenanceReport

group = Application(help="What runs by the clock: the nightly backup, the ingest.")


@group.command()
def install(
    context: typer.Context,
    at: Annotated[
        str | None, typer.Option(metavar="HH:MM", help="Time of the nightly run on this machine; 02:00 if not given.")
    ] = None,
    scheduler: Annotated[
        str, typer.Option("--with", metavar="NAME", help="cron or systemd; systemd if it runs and none is named.")
    ] = "",
    drill: Annotated[
        str | None,
        typer.Option(metavar="WEEKDAY", help="Drill the newest one that day, 2 h later; or none. Sunday if not given."),
    ] = None,
    ingest: Annotated[
        str | None, typer.Option(metavar="INTERVAL", help="Ingest all collections so often: 15m, 2h; or none.")
    ] = None,
) -> None:
    """Have the nightly run, the ingest or both started by cron or a systemd timer.

    In your own crontab or units; other lines stay as they are, and installing again replaces what was installed. With
    --ingest alone the nightly run stays as it is, without --ingest the ingest does.

    Example: ragops schedule install --at 02:30 --ingest 15m --with cron
    """
    from ragops.operations.records.figures import note_schedule
    from ragops.operations.schedule import ingest_timer
    from ragops.operations.schedule import install as schedule
    from ragops.operations.schedule.nightly_steps import NO_PROOF, can_open, drill_weekday
    from ragops.operations.schedule.scheduler_files import Schedule, parse_time

    current = state(context)
    session = current.session()
    project = session.project
    minute, weekday = parse_time("02:00" if at is None else at), drill_weekday(project, drill)
    minutes = None if ingest is None else ingest_timer.parse_interval(ingest)
    wanted = Schedule(
        project.settings.name, project.paths.environment, project.config, sys.executable, minute, weekday, minutes or 0
    )
    is_nightly = at is not None or drill is not None or ingest is None
    kinds = [*([schedule.NIGHTLY] if is_nightly else []), *([schedule.INGEST] if minutes else [])]
    with session.changing(("schedule",)):
        found = schedule.schedulers()
        report = schedule.install(wanted, found, scheduler, kinds)
        gone = ingest is not None and not minutes and schedule.remove(project, found, (schedule.INGEST,))
    changed = {"nightly": True} if is_nightly else {}
    note_schedule(session, changed | ({"ingest": bool(minutes)} if ingest is not None else {}))
    notes = [*dict.fromkeys(report.notes), *([NO_PROOF] if is_nightly and not (drill or can_open(project)) else [])]
    _show_installed(current.console, report, notes)
    if ingest is not None and not minutes:
        current.console.message("removed the ingest" if gone else "no ingest was scheduled")


def _show_installed(console: Console, report: InstallReport, notes: Sequence[str]) -> None:
    console.document(report)
    there = [one for one in (report.installed, report.ingest) if one]
    for one in there:
        console.text(one.text.rstrip("\n"))
    for note in notes:
        console.message(f"note: {note}")
    for one in there:
        console.message(f"installed with {one.scheduler}, next run {_instant(one.next_run)}")


@group.command()
def show(context: typer.Context) -> None:
    """Show what is installed, when it runs next and how it went last.

    Exits with 7 if nothing is installed.

    Example: ragops schedule show
    """
    from ragops.operations.schedule import install as schedule

    current = state(context)
    standing = schedule.show(current.project(), schedule.schedulers())
    current.console.document(standing)
    for run in (standing, standing.ingest):
        if not run.installed:
            continue
        for item in run.installed:
            current.console.text(item.text.rstrip("\n"))
            current.console.text(f"{item.scheduler}, next run {_instant(item.next_run)}")
        current.console.text(f"last run: {_last(run.last)}")
        current.console.text(f"log: {run.log}")


@group.command()
def remove(context: typer.Context) -> None:
    """Take the nightly run and the ingest out of cron or systemd.

    Exactly what was installed for this project and environment; logs and recovery points stay. For the ingest alone:
    `ragops schedule install --ingest none`.

    Example: ragops schedule remove
    """
    from ragops.operations.records.figures import note_schedule
    from ragops.operations.schedule import install as schedule

    current = state(context)
    session = current.session()
    found = schedule.schedulers()
    with session.changing(("schedule",)):
        both = schedule.remove(session.project, found)
    note_schedule(session, {"nightly": False, "ingest": False})
    gone = list(dict.fromkeys(both))
    current.console.document({"removed": gone})
    current.console.message(f"removed from {' and '.join(gone)}" if gone else "nothing was scheduled")


@group.command(name="ingest")
def run_ingest(context: typer.Context) -> None:
    """Do what the schedule runs: ingest all collections, with a log.

    Waits up to 15 minutes for a lock, and ends with the exit code of the ingest; with 5 if the run before is still at
    work. The log is .ragops/schedule/ingest/ENV.log.

    Example: ragops schedule ingest
    """
    from ragops.cli.ingest import show_report
    from ragops.operations.schedule import ingest_run as operation

    current = state(context)
    console = current.console
    inner = State(Console(color=False, verbose=console.verbose), current.config, current.environment)
    report = operation.run(inner.session, partial(show_report, inner.console), None if console.quiet else sys.stderr)
    if report.failure is not None:
        raise report.failure
    console.document(report)


# `ragops schedule` was `ragops backup schedule` when only backups ran by the clock; crontabs and scripts have that.
of_backup = Application(help="The same as `ragops schedule`.")
for _command in (install, show, remove):
    _help = inspect.getdoc(_command) or ""
    of_backup.command(help=_help.replace("Example: ragops schedule", "Example: ragops backup schedule"))(_command)


def scheduled(context: typer.Context) -> None:
    """Do what the schedule runs: backup, prune, prove, maintain, pings, log.

    What was taken is restored away from the live data, as far as ten minutes for each service go; what had no time
    comes first another night. Maintains the database whatever the backup came to. Ends with the exit code of the first
    step that failed; the log is .ragops/schedule/ENV.log.

    Example: ragops backup scheduled
    """
    from ragops.operations.records.figures import write
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
    write(inner.session())
    if report.failure is not None:
        raise report.failure
    current.console.document(report)


def _known_secrets(project: Project) -> tuple[str, ...]:
    """Return what no ping may hold; a file that cannot be read fails the steps, which then report it."""
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
