"""Run named steps in their order, each whatever the outcome of the one before, with log, record and pings."""

from __future__ import annotations

import contextlib
import io
import os
import traceback
from collections import deque
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from ragops.adapters import audit, logs
from ragops.adapters.files import SECRET_MODE, make_dir
from ragops.adapters.healthcheck_ping import ping
from ragops.adapters.interrupts import is_caused_by_interrupt
from ragops.adapters.process_identity import format_mark
from ragops.errors import ExitCode, RagopsError
from ragops.hints import complete_commands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from ragops.config.backup import PingSettings
    from ragops.config.paths import ProjectPaths

    Step = tuple[str, Callable[[], None]]

_MAX_BYTES = 1024 * 1024
_KEEP = 3
_LAST_LINES = 40
_MAX_BODY = 10_000  # what services that watch take and show
_LEAST_SECRET = 8  # letters; shorter ones are words that stand everywhere


@dataclass(frozen=True)
class RunFiles:
    """Log and record of an environment's nightly runs (both 0600)."""

    log: Path
    record: Path


@dataclass(frozen=True)
class StepResult:
    """How one step ended; `start` and `end` in ISO 8601, `error` is the failure's code."""

    name: str
    start: str
    end: str
    exit_code: int
    error: str = ""


@dataclass(frozen=True)
class NightlyReport:
    """How a run ended: `exit_code` is that of the first step that failed, `failure` what it failed with."""

    start: str
    end: str
    exit_code: int
    steps: tuple[StepResult, ...]
    notices: tuple[str, ...]
    failure: RagopsError | None = None


def files_of(paths: ProjectPaths, kind: str = "") -> RunFiles:
    """Return the paths of log and record of the nightly run, or of another `kind` of run."""
    folder = paths.state / "schedule" / kind
    return RunFiles(folder / f"{paths.environment}.log", folder / f"{paths.environment}.jsonl")


class RunLog(io.TextIOBase):
    """A stream that writes each line to the log with its instant, and to `echo`; what it cannot write it forgets.

    Nothing fails for a log: the backup is what matters, and its own writes fail when the disk is full.
    """

    def __init__(self, path: Path, echo: TextIO | None = None) -> None:
        self._path, self._echo, self._rest = path, echo, ""
        self.last: deque[str] = deque(maxlen=_LAST_LINES)
        with contextlib.suppress(OSError, RagopsError):
            make_dir(path.parent)
            logs.rotate(path, _MAX_BYTES, _KEEP)

    def write(self, text: str) -> int:
        """Take a piece of text; whole lines of it are kept."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self.line(line)
        return len(text)

    def line(self, text: str) -> None:
        """Take one line."""
        text = complete_commands(text)  # a log is read by people as well
        stamped = f"{_now()} {text}"
        self.last.append(stamped)
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, SECRET_MODE)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(stamped + "\n")
        if self._echo is not None:
            with contextlib.suppress(OSError):
                self._echo.write(text + "\n")
                self._echo.flush()


@dataclass
class _Run:
    """A run under way."""

    files: RunFiles
    pings: PingSettings
    journal: RunLog
    secrets: tuple[str, ...]
    start: str
    outcomes: list[StepResult] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    failure: RagopsError | None = None

    def notice(self, text: str) -> None:
        """Keep what is to be known and is no failure."""
        if text:
            self.notices.append(text)
            self.journal.line(text)

    def ended(self, error: RagopsError) -> int:
        """Note a failure; the first one is the run's."""
        self.failure = self.failure or error
        return int(error.exit_code)

    def record(self, **fields: object) -> None:
        """Append a line to the record."""
        try:
            audit.append(self.files.record, start=self.start, process=format_mark(), **fields)
        except RagopsError as error:
            self.notice(f"the run could not be recorded: {error.message}")


def run(
    steps: Sequence[Step],
    files: RunFiles,
    pings: PingSettings,
    *,
    secrets: Iterable[str] = (),
    echo: TextIO | None = None,
) -> NightlyReport:
    """Run all `steps`, ping before and after; what they print goes to the log, and to `echo`.

    Raises nothing of what they fail with: the report has it. An interrupt ends the step that runs and leaves out the
    others; it is in the report as well, with exit code 130. No ping holds one of `secrets`.
    """
    known = (*secrets, pings.start, pings.success, pings.failure)
    hidden = tuple(secret for secret in known if len(secret) >= _LEAST_SECRET)
    current = _Run(files, pings, RunLog(files.log, echo), hidden, _now())
    current.journal.line("begins")
    with contextlib.suppress(OSError):
        logs.rotate(files.record, _MAX_BYTES, 1)
    current.record()  # a run that is killed leaves this line alone
    try:
        current.notice(_ping(pings.start))
        with contextlib.redirect_stdout(current.journal), contextlib.redirect_stderr(current.journal):
            for name, step in steps:
                current.outcomes.append(_attempt(name, step, current))
                if current.outcomes[-1].exit_code == ExitCode.INTERRUPTED:
                    break
    except KeyboardInterrupt:  # while it pinged
        current.ended(_interrupted())
    return _finish(current)


def _attempt(name: str, step: Callable[[], None], current: _Run) -> StepResult:
    start = _now()
    current.journal.line(f"{name}: begins")
    error = _failure_of(step)
    if error is None:
        current.journal.line(f"{name}: done")
        return StepResult(name, start, _now(), 0)
    current.journal.line(f"{name}: exit code {error.exit_code:d}, {error.code}: {error.message}")
    if error.hint:
        current.journal.line(f"{name}: → {error.hint}")
    named = RagopsError(error.code, f"{name}: {error.message}", error.hint, exit_code=error.exit_code)
    return StepResult(name, start, _now(), current.ended(named), error.code)


def _failure_of(step: Callable[[], None]) -> RagopsError | None:
    """Return what a step fails with, whatever that is."""
    try:
        step()
    except RagopsError as error:
        return error
    except KeyboardInterrupt:
        return _interrupted()
    except (Exception, SystemExit) as error:
        if is_caused_by_interrupt(error):
            return _interrupted()
        traceback.print_exc()
        what = f"this is a fault in ragops: {type(error).__name__}: {error}"
        return RagopsError("internal_error", what, "the log has more; report it")
    return None


def _finish(current: _Run) -> NightlyReport:
    code = int(current.failure.exit_code) if current.failure else int(ExitCode.DONE)
    end = _now()
    current.journal.line(f"ends with exit code {code}")
    # Before the ping: its receiver may read the record at once.
    current.record(end=end, exit_code=code, steps=[asdict(step) for step in current.outcomes], notices=current.notices)
    if current.failure is None:
        current.notice(_ping(current.pings.success))
    else:
        current.notice(_ping(current.pings.failure, _body(current, code)))
    return NightlyReport(current.start, end, code, tuple(current.outcomes), tuple(current.notices), current.failure)


def _ping(url: str, body: str | None = None) -> str:
    return ping(url, body) if url else ""


def _body(current: _Run, code: int) -> str:
    """Return the body of a failure's ping: exit codes, then the last lines of the log."""
    lines = [f"exit code {code}", *(f"{step.name}: exit code {step.exit_code}" for step in current.outcomes)]
    text = "\n".join([*lines, "", *current.journal.last])
    for secret in current.secrets:
        text = text.replace(secret, "***")
    return text if len(text) <= _MAX_BODY else text[:200] + "\n…\n" + text[-_MAX_BODY + 300 :]


def _interrupted() -> RagopsError:
    return RagopsError(
        "interrupted", "interrupted", "run the same command again to continue", exit_code=ExitCode.INTERRUPTED
    )


def _now() -> str:
    return datetime.now(tz=UTC).isoformat(timespec="milliseconds")
