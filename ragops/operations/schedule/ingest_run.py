"""The ingest that cron or systemd starts: one at a time, with a log and a record of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from ragops.adapters import locks
from ragops.config.backup import PingSettings
from ragops.errors import LockedError, RagopsError
from ragops.operations.data import ingest
from ragops.operations.schedule import step_runner
from ragops.operations.schedule.nightly_steps import LOCK_WAIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.ingest.report import IngestReport
    from ragops.operations.schedule.step_runner import NightlyReport
    from ragops.operations.session import Session

_LOCK = "scheduled-ingest"


def run(
    open_session: Callable[[float], Session], shown: Callable[[IngestReport, bool], None], echo: TextIO | None
) -> NightlyReport:
    """Ingest all collections that are enabled, as `step_runner.run` does it; `open_session` as for `nightly_steps`.

    An ingest or a backup that is at work is waited for, another run of this one is not. Raises LockedError
    (ingest_running): it leaves no record, since that run has one.
    """
    session = open_session(LOCK_WAIT)
    paths = session.project.paths
    try:
        with locks.hold_locks(paths.locks, (_LOCK,), session.command, 0.0, session.notice):
            steps = [("ingest", lambda: _ingest(session, shown))]
            return step_runner.run(steps, step_runner.files_of(paths, "ingest"), PingSettings(), echo=echo)
    except LockedError as error:
        holder = locks.find_holder(paths.locks, _LOCK)
        since = f", since {holder.since}" if holder else ""
        what = f"cannot begin: the ingest before is still at work{since}"
        hint = "nothing is lost: the next one does it; take a longer interval: `ragops schedule install --ingest 1h`"
        raise LockedError("ingest_running", what, hint) from error


def _ingest(session: Session, shown: Callable[[IngestReport, bool], None]) -> None:
    report, refreshed = ingest.ingest_under_lock(session, (), lambda _progress: None)
    shown(report, refreshed)
    refused = next((one.refused for one in report.collections if one.refused), None)
    if refused:
        raise RagopsError(refused.code, refused.message, refused.hint, exit_code=refused.exit_code)
    if report.exit_code:
        short = [f"{one.name}: {one.shortfall}" for one in report.collections if one.shortfall]
        raise RagopsError("ingest_incomplete", "; ".join(short), "see them with `ragops ingest`")
