"""The nightly run put into cron or systemd, looked at, and taken out again."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ragops.adapters import locks, logs
from ragops.adapters.process_identity import is_mark_gone
from ragops.adapters.pulumi.install import cache_dir
from ragops.adapters.scheduler.cron import UserCrontab, daemon_runs
from ragops.adapters.scheduler.systemd import unit_folder
from ragops.errors import MissingError, RagopsError, UsageError
from ragops.operations.schedule.nightly import files_of
from ragops.recovery import schedule_texts as texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from ragops.adapters.scheduler.cron import Crontab
    from ragops.adapters.scheduler.systemd import Units
    from ragops.config.load import Project
    from ragops.recovery.schedule_texts import Schedule

CRON, SYSTEMD = "cron", "systemd"
_LOCK_WAIT = 30.0


@dataclass(frozen=True)
class Schedulers:
    """What can start a run by the clock on this machine."""

    crontab: Crontab
    units: Units


@dataclass(frozen=True)
class Installed:
    """What stands in `planner` (cron or systemd) for an environment, and when it runs next if that is known."""

    planner: str
    text: str
    next_run: datetime | None


@dataclass(frozen=True)
class LastRun:
    """The newest run on record: `state` is done, failed, running or killed; `exit_code` None for the latter two."""

    start: str
    end: str
    state: str
    exit_code: int | None
    steps: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class ScheduleStatus:
    """What is installed for an environment and how it went last."""

    installed: tuple[Installed, ...]
    last: LastRun | None
    log: Path


@dataclass(frozen=True)
class InstallReport:
    """What was installed, and notes on it."""

    installed: Installed
    notes: tuple[str, ...]


def schedulers() -> Schedulers:
    """Those of this machine and user."""
    return Schedulers(UserCrontab(), unit_folder(os.getuid(), os.environ))


def install(schedule: Schedule, found: Schedulers, planner: str = "") -> InstallReport:
    """Put the run into `planner`, systemd's timers if none is named and systemd runs, in the place of an older one.

    Raises UsageError (path_not_schedulable, unit_taken), MissingError (cron_missing, systemd_missing), RagopsError
    (crontab_unreadable, crontab_refused, crontab_damaged, tool_failed): all then stands as it was.
    """
    chosen = planner or (SYSTEMD if found.units.available() else CRON)
    name = texts.format_schedule_mark(schedule.environment, schedule.config)
    if chosen == SYSTEMD:
        text = _install_units(schedule, found.units, name)
        twice = _also_in(CRON, lambda: remove_block(found.crontab, name))
    else:
        text = _install_block(schedule, found.crontab)
        twice = _also_in(SYSTEMD, lambda: _remove_units(found.units, name))
    notes = (*twice, *_unlike_here(os.environ), *_not_running(chosen, found))
    return InstallReport(Installed(chosen, text, texts.find_next_run(text, _now())), notes)


def show(project: Project, found: Schedulers) -> ScheduleStatus:
    """Return what is installed.

    Raises MissingError (not_scheduled), RagopsError (crontab_unreadable, crontab_damaged).
    """
    name = _name(project)
    installed = tuple(
        Installed(planner, text, texts.find_next_run(text, _now())) for planner, text in _texts(found, name)
    )
    if not installed:
        what = f"no nightly run of environment {project.paths.environment!r} is scheduled"
        raise MissingError("not_scheduled", what, "run `ragops backup schedule install`")
    files = files_of(project.paths)
    return ScheduleStatus(installed, last_run(files.record), files.log)


def remove(project: Project, found: Schedulers) -> tuple[str, ...]:
    """Take out what `install` put in; returns from where, nothing if there was nothing."""
    name = _name(project)
    gone = ((SYSTEMD, _remove_units(found.units, name)), (CRON, remove_block(found.crontab, name)))
    return tuple(planner for planner, was in gone if was)


def last_run(record: Path) -> LastRun | None:
    """Return the newest run of a record, None if there is none to be read."""
    for line in reversed(logs.tail(record, 3)):  # its last line may be half of one: a full disk
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return _last_run(json.loads(line))
    return None


def _last_run(values: dict[str, Any]) -> LastRun:
    if "end" not in values:
        begun = datetime.fromisoformat(values["start"]).timestamp()
        state = "killed" if is_mark_gone(values.get("process") or str(values["pid"]), begun) else "running"
        return LastRun(values["start"], "", state, None, ())
    code = values["exit_code"]
    return LastRun(values["start"], values["end"], "failed" if code else "done", code, tuple(values["steps"]))


# --- cron ------------------------------------------------------------------------------------------------------------


def _install_block(schedule: Schedule, crontab: Crontab) -> str:
    block = texts.render_cron_block(schedule)
    with hold_crontab("ragops backup schedule"):
        crontab.write(texts.insert_block(crontab.read(), block))
    return block


def remove_block(crontab: Crontab, name: str) -> bool:
    """Take the block `name` out of the crontab; returns whether it was there. Raises RagopsError."""
    if not crontab.available():
        return False
    with hold_crontab("ragops backup schedule"):
        before = crontab.read()
        after = texts.remove_block(before, name)
        if after != before:
            crontab.write(after)
    return after != before


@contextlib.contextmanager
def hold_crontab(command: str) -> Iterator[None]:
    """One at a time: every project of a user is in the same crontab, and each change of it writes all of it."""
    with locks.hold_locks(cache_dir(), ("crontab",), command, _LOCK_WAIT, lambda _: None):
        yield


# --- systemd ---------------------------------------------------------------------------------------------------------


def _install_units(schedule: Schedule, units: Units, name: str) -> str:
    if not units.available():
        hint = "take `--with cron`; a user's own systemd runs only where they logged in, or linger"
        raise MissingError("systemd_missing", "no systemd runs here", hint)
    wanted = {unit.name: unit.text for unit in texts.render_units(schedule, system=units.system)}
    there = units.read()
    mine = texts.select_owned(there, name)
    if taken := [unit for unit in wanted if unit in there and unit not in mine]:
        what = f"{taken[0]} is the schedule of another project"
        raise UsageError("unit_taken", what, "give one of the two another name in ragops.yaml, or take `--with cron`")
    units.install(wanted)
    if left := [unit for unit in mine if unit not in wanted]:  # a drill that is not wanted any more, an older name
        units.remove(left)
    return _joined(wanted)


def _remove_units(units: Units, name: str) -> bool:
    mine = texts.select_owned(units.read(), name)
    if mine:
        units.remove(list(mine))
    return bool(mine)


# --- both ------------------------------------------------------------------------------------------------------------


def _texts(found: Schedulers, name: str) -> Iterator[tuple[str, str]]:
    if mine := texts.select_owned(found.units.read(), name):
        yield SYSTEMD, _joined(mine)
    try:
        block = texts.find_block(found.crontab.read(), name) if found.crontab.available() else ""
    except RagopsError:
        if not mine:  # who may have timers and no crontab is well served
            raise
        block = ""
    if block:
        yield CRON, block


def _also_in(planner: str, take_out: Callable[[], bool]) -> Iterator[str]:
    """Take an older schedule out of the other planner; a note where that cannot be done: the new one stands."""
    try:
        take_out()
    except RagopsError as error:
        yield f"an older one may be left in {planner}: {error.message}"


def _joined(units: Mapping[str, str]) -> str:
    return "\n".join(f"# --- {unit}\n{text}" for unit, text in units.items())


def _unlike_here(environment: Mapping[str, str]) -> Iterator[str]:
    if names := sorted(name for name in environment if name.startswith("RAGOPS_") and name != "RAGOPS_TOKEN"):
        yield f"{', '.join(names)}: set here, and not where the nightly run starts; settings belong into ragops.yaml"


def _not_running(chosen: str, found: Schedulers) -> Iterator[str]:
    if chosen == CRON and not daemon_runs():
        yield "no cron daemon is seen on this machine: nothing runs until one does"
    if chosen == SYSTEMD and not found.units.lingers():
        yield "it runs only while you are logged in; `loginctl enable-linger` lets it run always"


def _name(project: Project) -> str:
    return texts.format_schedule_mark(project.paths.environment, project.config)


def _now() -> datetime:
    return datetime.now().astimezone()
