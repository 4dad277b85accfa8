"""The platform started at boot, if no other program does that: put into systemd or cron, looked at, taken out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress
from ragops.adapters.scheduler.systemd import BOOT
from ragops.errors import MissingError, RagopsError, UsageError
from ragops.operations.lifecycle import data_guard
from ragops.operations.schedule import scheduler_files as texts
from ragops.operations.schedule.entries import Entry
from ragops.render import render
from ragops.runtimes import registry
from ragops.services.contract import Capability, Check, Status

if TYPE_CHECKING:
    from ragops.adapters.progress import OnProgress
    from ragops.config.load import Project
    from ragops.operations.schedule.entries import Schedulers
    from ragops.operations.schedule.scheduler_files import Schedule
    from ragops.operations.session import Session

_LINGER = "it starts when you log in; `loginctl enable-linger` has it start at boot"
_INSTALL = "`ragops service install` has it started"


@dataclass(frozen=True)
class Installed:
    """What stands in `scheduler` (cron or systemd) for an environment; `notes` are what its owner has to know."""

    scheduler: str
    text: str
    notes: tuple[str, ...] = ()


def install(wanted: Schedule, found: Schedulers, scheduler: str = "") -> Installed:
    """Have `ragops service start` run at boot by `scheduler`: systemd if none is named and it runs, else cron.

    Raises as `Entry.install`.
    """
    entry = _entry(wanted.environment, wanted.config)
    chosen, text, notes = entry.install(
        found, scheduler, lambda: block_text(wanted), lambda: dict([unit_text(wanted, system=found.units.system)])
    )
    return Installed(chosen, text, notes)


def show(project: Project, found: Schedulers) -> tuple[Installed, ...]:
    """Return what is installed.

    Raises MissingError (not_installed), RagopsError (crontab_unreadable, crontab_damaged).
    """
    installed = _found(project, found)
    if not installed:
        what = f"nothing starts environment {project.paths.environment!r} at boot"
        raise MissingError("not_installed", what, "run `ragops service install`")
    return installed


def remove(project: Project, found: Schedulers) -> tuple[str, ...]:
    """Take out what `install` put in; returns from where, nothing if there was nothing."""
    return _entry(project.paths.environment, project.config).remove(found)


def refuse_runtime(project: Project) -> None:
    """Raise UsageError (boot_by_RUNTIME) if the manager of the project's runtime starts the services by itself."""
    facts = registry.facts(project.settings.runtime)
    if facts.manager:
        what = f"cannot install anything for boot: {facts.manager} starts the {facts.instances} by their restart policy"
        raise UsageError(f"boot_by_{facts.name}", what, f"have {facts.manager} start at boot: {facts.boot_hint}")


def finding(project: Project, found: Schedulers) -> tuple[Check, ...]:
    """Return what `doctor` reports of it; a note, for a laptop may not want it."""
    if registry.facts(project.settings.runtime).manager:
        return ()
    try:
        there = _found(project, found)
    except RagopsError as error:
        return (Check("boot", Status.OK, f"not known: {error.message}"),)
    if there:
        return (Check("boot", Status.OK, f"the platform is started by {there[0].scheduler}"),)
    return (Check("boot", Status.OK, f"nothing starts the platform; {_INSTALL}"),)


def mark(environment: str, config: object) -> str:
    """Return what distinguishes this of one environment from every other and from the nightly run, in one line."""
    return f"ragops service: {environment} {config}"


# --- what is started at boot ---------------------------------------------------------------------------------------


def start(session: Session, on_progress: OnProgress) -> tuple[str, ...]:
    """Start what was provisioned and does not run, as it was provisioned; returns the names.

    Nothing of ragops.yaml is applied: that is `up`'s. Raises MissingError (not_provisioned, data_gone), RagopsError
    (service_failed) if one does not come up, after the others were tried.
    """
    refuse_runtime(session.project)
    done: list[str] = []
    failure: RagopsError | None = None
    with session.changing():
        endpoints = session.endpoints()
        data_guard.refuse_lost_data(session)
        for name, endpoint in endpoints.items():
            control = session.host.control(endpoint)
            if not endpoint.can(Capability.RESTART) or control.is_running():
                continue
            on_progress(Progress(name, "starting"))
            try:
                control.start()
            except RagopsError as error:
                failure = failure or error
                continue
            done.append(name)
            on_progress(Progress(name, "runs", final=True))
    if failure:
        raise failure
    return tuple(done)


def stop(session: Session) -> tuple[str, ...]:
    """Stop what runs, each in its own way, the last started first; returns the names. Nothing is taken down."""
    refuse_runtime(session.project)
    done: list[str] = []
    with session.changing():
        for name, endpoint in reversed(session.endpoints().items()):
            control = session.host.control(endpoint)
            if endpoint.can(Capability.RESTART) and control.is_running():
                control.stop()
                done.append(name)
    return tuple(done)


# --- texts ---------------------------------------------------------------------------------------------------------


def block_text(wanted: Schedule) -> str:
    """Return the lines for a crontab. Raises UsageError (path_not_schedulable)."""
    texts.check_paths(wanted, "\\")
    begin, end = texts.format_block_marks(mark(wanted.environment, wanted.config))
    command = texts.quote_for_cron(texts.build_command(wanted, "service", "start"))
    return render("schedule/crontab-boot.j2", begin=begin, end=end, command=command)


def unit_text(wanted: Schedule, *, system: bool) -> tuple[str, str]:
    """Name and text of the unit; `system`: root's own. Raises UsageError (path_not_schedulable)."""
    texts.check_program(wanted)
    values = {
        "mark": f"# {mark(wanted.environment, wanted.config)}",
        "description": f"RAG platform {wanted.name}, environment {wanted.environment}",
        "start": texts.quote_for_systemd(texts.build_command(wanted, "service", "start")),
        "stop": texts.quote_for_systemd(texts.build_command(wanted, "service", "stop")),
        "target": "multi-user.target" if system else "default.target",
    }
    text = render("schedule/ragops-boot.service.j2", system=system, **values)
    return f"ragops-{wanted.name}-{wanted.environment}{BOOT}", text


def _found(project: Project, found: Schedulers) -> tuple[Installed, ...]:
    there = _entry(project.paths.environment, project.config).find(found)
    return tuple(Installed(scheduler, text) for scheduler, text in there)


def _entry(environment: str, config: object) -> Entry:
    return Entry(mark(environment, config), "service", "ragops service", "the platform", _LINGER)
