"""The nightly run and the ingest by the clock: put into cron or systemd, looked at, and taken out again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from ragops.adapters.scheduler.cron import Crontab
from ragops.adapters.scheduler.systemd import unit_folder
from ragops.errors import MissingError, RagopsError
from ragops.operations.schedule import ingest_timer
from ragops.operations.schedule import scheduler_files as texts
from ragops.operations.schedule.entries import Entry, Schedulers
from ragops.operations.schedule.last_run import LastRun, last_run
from ragops.operations.schedule.step_runner import files_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ragops.config.load import Project
    from ragops.operations.schedule.scheduler_files import Schedule


@dataclass(frozen=True)
class Installed:
    """What stands in `scheduler` (cron or systemd) for an environment, and when it runs next if that is known."""

    scheduler: str
    text: str
    next_run: datetime | None


@dataclass(frozen=True)
class RunStatus:
    """What is installed of one kind of run, and how it went last."""

    installed: tuple[Installed, ...]
    last: LastRun | None
    log: Path


@dataclass(frozen=True)
class ScheduleStatus(RunStatus):
    """The nightly run of an environment, and its ingest by the clock."""

    ingest: RunStatus


@dataclass(frozen=True)
class InstallReport:
    """What was installed, and notes on it; None for what was not asked for."""

    installed: Installed | None
    notes: tuple[str, ...]
    ingest: Installed | None = None


@dataclass(frozen=True)
class RunKind:
    """A kind of run by the clock: its entry in a scheduler, the texts of that, and when it runs next by them."""

    make_entry: Callable[[str, Path], Entry]
    render_block: Callable[[Schedule], str]
    render_units: Callable[..., dict[str, str]]
    find_next_run: Callable[[str, datetime], datetime | None]


def _make_nightly_entry(environment: str, config: Path) -> Entry:
    mark = texts.format_schedule_mark(environment, config)
    return Entry(mark, "schedule", "ragops backup schedule", "the nightly run", texts.LINGERING)


NIGHTLY = RunKind(_make_nightly_entry, texts.render_cron_block, texts.render_units, texts.find_next_run)
INGEST = RunKind(
    ingest_timer.make_entry, ingest_timer.render_block, ingest_timer.render_units, ingest_timer.find_next_run
)


def schedulers() -> Schedulers:
    """Those of this machine and user."""
    return Schedulers(Crontab(), unit_folder(os.getuid(), os.environ))


def install(
    schedule: Schedule, found: Schedulers, scheduler: str = "", kinds: Sequence[RunKind] = (NIGHTLY,)
) -> InstallReport:
    """Put runs into `scheduler`, systemd's timers if none is named and systemd runs, in the place of older ones.

    Raises as `Entry.install`.
    """
    installed: dict[RunKind, Installed] = {}
    notes: list[str] = []
    for kind in kinds:
        chosen, text, more = kind.make_entry(schedule.environment, schedule.config).install(
            found,
            scheduler,
            partial(kind.render_block, schedule),
            partial(kind.render_units, schedule, system=found.units.system),
        )
        installed[kind] = Installed(chosen, text, kind.find_next_run(text, _now()))
        notes += more
    return InstallReport(installed.get(NIGHTLY), tuple(notes), installed.get(INGEST))


def show(project: Project, found: Schedulers) -> ScheduleStatus:
    """Return what is installed.

    Raises MissingError (not_scheduled) if nothing is, RagopsError (crontab_unreadable, crontab_damaged).
    """
    own, ingests = _find_all(project, found)
    if not own and not ingests:
        what = f"cannot show the schedule: nothing of environment {project.paths.environment!r} is installed"
        raise MissingError("not_scheduled", what, "run `ragops schedule install`")
    files, ingest_files = files_of(project.paths), files_of(project.paths, "ingest")
    status = RunStatus(ingests, last_run(ingest_files.record), ingest_files.log)
    return ScheduleStatus(own, last_run(files.record), files.log, status)


def _find_all(project: Project, found: Schedulers) -> tuple[tuple[Installed, ...], tuple[Installed, ...]]:
    """Return what stands of the nightly run and of the ingest.

    Raises RagopsError (crontab_unreadable, crontab_damaged) if nothing is found elsewhere either.
    """
    environment, config = project.paths.environment, project.config
    kinds: list[tuple[Installed, ...]] = []
    failure: RagopsError | None = None
    for kind in (NIGHTLY, INGEST):
        there = kind.make_entry(environment, config).find(found)
        try:
            kinds.append(tuple(Installed(where, text, kind.find_next_run(text, _now())) for where, text in there))
        except RagopsError as error:  # a user with timers and no crontab is well served
            failure = error
            kinds.append(())
    if failure and not any(kinds):
        raise failure
    return kinds[0], kinds[1]


def remove(project: Project, found: Schedulers, kinds: Sequence[RunKind] = (NIGHTLY, INGEST)) -> tuple[str, ...]:
    """Take out what `install` put in; returns from where, nothing if there was nothing."""
    entries = (kind.make_entry(project.paths.environment, project.config) for kind in kinds)
    return tuple(place for entry in entries for place in entry.remove(found))


def _now() -> datetime:
    return datetime.now().astimezone()
