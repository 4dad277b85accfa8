"""Steps of the nightly run: backup with prune and proof, then maintenance of the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.errors import UsageError
from ragops.operations.backup.commands import back_up
from ragops.operations.backup.create import BackupRequest
from ragops.operations.backup.verify import verify_point
from ragops.operations.data import migrate
from ragops.operations.observe import health
from ragops.operations.records import figures
from ragops.operations.schedule.scheduler_files import parse_weekday

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from ragops.adapters.progress import OnProgress
    from ragops.config.load import Project
    from ragops.operations.backup.commands import BackupReport
    from ragops.operations.backup.verify import VerifyResult
    from ragops.operations.schedule.step_runner import Step
    from ragops.operations.session import Session
    from ragops.services.timescaledb.schema.maintenance import MaintenanceReport

DRILL_DAY = "sunday"
PROOF_SECONDS = 600.0  # for each service; what has no time in one night is proven within a week
LOCK_WAIT = 900.0  # seconds: an ingest that is still at work at night is no reason to leave anything out
NO_PROOF = (
    "no drill and no nightly proof: the recovery points are encrypted, and no `backup.identity_file` opens them; run"
    " `ragops backup drill --identity FILE` where the key is"
)


@dataclass(frozen=True)
class Views:
    """How a caller shows progress and results of the steps."""

    progress: Callable[[], AbstractContextManager[OnProgress]]
    taken: Callable[[BackupReport], None]
    proven: Callable[[VerifyResult], None]
    maintained: Callable[[MaintenanceReport], None]
    message: Callable[[str], None]


def nightly_steps(project: Project, open_session: Callable[[float], Session], views: Views) -> tuple[Step, ...]:
    """Return the steps by name; `open_session` opens the environment with a time to wait for locks, in seconds."""
    return (
        ("backup", lambda: _back_up(project, open_session, views)),
        ("maintain", lambda: _maintain(open_session, views)),
        *((("look", lambda: _look(open_session)),) if getattr(project.settings, "observability", None) else ()),
    )


def can_open(project: Project) -> bool:
    """Return whether a run without a person can decrypt the recovery points."""
    return not project.settings.backup.recipients or bool(project.settings.backup.identity_file)


def drill_weekday(project: Project, drill: str | None) -> int | None:
    """Return the day of the weekly drill (None: no drill); `drill` is a day, `never`, or None for the default day.

    Raises UsageError (identity_missing) if a day is given and no run without a person can decrypt recovery points.
    """
    weekday = parse_weekday(drill or DRILL_DAY)
    if can_open(project) or weekday is None:
        return weekday
    if drill:
        what = "cannot drill at night: the recovery points are encrypted, and no identity file is configured"
        raise UsageError("identity_missing", what, "set `backup.identity_file`, or drill by hand where the key is")
    return None


def _back_up(project: Project, open_session: Callable[[float], Session], views: Views) -> None:
    """Take a recovery point, prune, and restore as much of it as there is time for. Raises RagopsError."""
    request = BackupRequest(jobs=project.settings.backup.jobs)
    with views.progress() as on_progress:
        report = back_up(open_session(LOCK_WAIT), request, prune=True, on_progress=on_progress)
    views.taken(report)
    report.require_good()
    if not can_open(project):
        views.message(NO_PROOF)
        return
    with views.progress() as on_progress:
        result = verify_point(open_session(0.0), "latest", deep=True, budget=PROOF_SECONDS, on_progress=on_progress)
    views.proven(result)


def _look(open_session: Callable[[float], Session]) -> None:
    """Note health and drift for the figures of a platform that is watched; what is wrong is no failure of the run."""
    session = open_session(0.0)
    figures.note_health(session, health.check(session))
    figures.note_drift(session, len(session.host.drift()))


def _maintain(open_session: Callable[[float], Session], views: Views) -> None:
    session = open_session(LOCK_WAIT)
    with session.changing():
        report = migrate.maintain(session.endpoint("timescaledb"))
    views.maintained(report)
