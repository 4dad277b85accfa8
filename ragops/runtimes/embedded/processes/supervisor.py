"""Starts and stops a service as a detached host process. Repeatable: what an interrupted start left is adopted."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ragops.adapters.files import SECRET_MODE, explain_os_error, make_dir
from ragops.adapters.logs import rotate, tail
from ragops.adapters.ports import port_owner
from ragops.adapters.wait import wait_until
from ragops.config.paths import PASSAGE_MODE
from ragops.errors import RagopsError
from ragops.runtimes.checks import port_taken
from ragops.runtimes.embedded.processes import by_data_folder, by_log_file, exec_wrapper, rendered_files
from ragops.runtimes.embedded.processes.state import (
    RECORD,
    Record,
    changed_files,
    lost_data,
    make_record,
    read_record,
    read_spec,
)
from ragops.runtimes.embedded.readiness import passes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.runtimes.embedded.processes.spec import ProcessSpec

_POLL = 0.05
_KILL_WAIT = 10.0
_INIT_TIMEOUT = 300.0


def log_path(run_dir: Path, service: str) -> Path:
    """Return the path of the log of a service."""
    return run_dir / f"{service}.log"


def ensure_running(spec: ProcessSpec) -> None:
    """Make the process run as in `spec` and wait until it is healthy.

    One that runs already with the same digest is adopted, one that differs or has lost its record is stopped first.
    Raises MissingError (port_taken, disk_full) before anything starts, RagopsError (service_failed) with the log's
    tail.
    """
    record = read_record(Path(spec.run_dir))
    run_dir = Path(spec.run_dir)
    provisioned = record and record.alive and record.digest == spec.digest()
    changed = set(changed_files(run_dir, spec.file_digests()))
    if record and provisioned and not lost_data(record, Path(spec.data_dir)) and changed <= spec.hot_digests().keys():
        rotate(log_path(run_dir, spec.service))
        if changed or read_spec(run_dir).get("digests") != spec.file_digests():
            try:
                rendered_files.write_hot(spec)
            except OSError as error:
                raise explain_os_error(error, f"write the files of {spec.service}") from error
        wait_healthy(spec, record)
        return
    stop(run_dir, spec.stop_signal, spec.stop_grace)
    start(spec)


def start(spec: ProcessSpec, extra_args: Sequence[str] = ()) -> None:
    """Start the stopped process, with `extra_args` added to its command, and wait until it is healthy."""
    run_dir = Path(spec.run_dir)
    _wait_for_group(read_record(run_dir))
    for port in spec.ports.values():
        if owner := port_owner(port):
            raise port_taken(spec.service, owner.port, str(owner))
    try:
        rendered_files.write_all(spec)
        _initialise(spec)
        _refuse_guarded(spec)
        by_data_folder.clear(Path(spec.data_dir), Path(spec.command[0]).name, spec.lock_files)
        _launch(spec, extra_args)
    except OSError as error:
        raise explain_os_error(error, f"start {spec.service}") from error
    record = read_record(run_dir)
    if record is None:
        raise RagopsError("service_failed", f"cannot execute {spec.service}", _log_hint(spec))
    wait_healthy(spec, record)


def wait_healthy(spec: ProcessSpec, record: Record) -> None:
    """Wait for the health check. Raises RagopsError (service_failed) if it dies or takes too long."""

    def is_healthy() -> bool:
        healthy = passes(spec.health, timeout=2.0)
        if not record.alive:  # asked second: what answered may be somebody else on its port
            raise RagopsError("service_failed", f"{spec.service} ended while it started", _log_hint(spec))
        return healthy

    if not wait_until(is_healthy, spec.start_timeout, _POLL):
        what = f"{spec.service} runs but was not healthy within {spec.start_timeout:.0f} s"
        raise RagopsError("service_failed", what, _log_hint(spec))


def stop(run_dir: Path, stop_signal: str, grace: float) -> None:
    """End the process: `stop_signal`, after `grace` seconds SIGKILL to its whole group. Data stay.

    That is the recorded one, and whatever else was started in `run_dir` and lost its record.
    """
    recorded = read_record(run_dir)
    lost = [make_record(pid) for pid in by_log_file.find_leaders(run_dir) if recorded is None or pid != recorded.pid]
    for record in (*([recorded] if recorded else []), *lost):
        if record.alive:
            _end(record, stop_signal, grace)
        _wait_for_group(record)
    (run_dir / RECORD).unlink(missing_ok=True)


def _end(record: Record, stop_signal: str, grace: float) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(record.pid, signal.Signals[stop_signal])
    if not _wait_until_dead(record, grace):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(record.pid, signal.SIGKILL)
        if not _wait_until_dead(record, _KILL_WAIT):
            raise RagopsError("service_not_stopped", f"pid {record.pid} does not end", "it hangs in the kernel")


def _wait_until_dead(record: Record, seconds: float) -> bool:
    def is_dead() -> bool:
        _reap(record.pid)
        return not record.alive

    return wait_until(is_dead, seconds, _POLL)


def _reap(pid: int) -> None:
    """Reap a process that this very run started, which stays a zombie until then."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _wait_for_group(record: Record | None) -> None:
    """Wait for the children of a killed engine: PostgreSQL's hold its shared memory a moment longer."""
    if record is not None:
        # A living process of that number is either still ours or somebody else's, and then the group is too.
        wait_until(lambda: exec_wrapper.identity(record.pid) or not _group_lives(record.pid), _KILL_WAIT, _POLL)


def _group_lives(group: int) -> bool:
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def ready_folder(data: Path) -> Path:
    """Return the folder of whole new data; found without the old ones, a restore was killed in between."""
    return data.with_name(f"{data.name}.ready")


def _initialise(spec: ProcessSpec) -> None:
    """Fill the data folder once, next to its place; a folder that an interrupted run left half full starts over."""
    data = Path(spec.data_dir)
    make_dir(data.parent, PASSAGE_MODE)
    if not data.exists() and ready_folder(data).exists():
        ready_folder(data).rename(data)
    if spec.init is None or (data / spec.init.marker).exists():
        if not data.exists():
            data.mkdir(mode=0o700)
            rendered_files.own(data, spec.user)
        return
    if data.exists() and any(data.iterdir()):
        what = (
            f"cannot use {data}: it has files but no {spec.init.marker}, so it is not a data folder of {spec.service}"
        )
        raise RagopsError("data_folder_foreign", what, "move it away, or restore it from a recovery point")
    for old in data.parent.glob(f"{data.name}.init-*"):
        shutil.rmtree(old, ignore_errors=True)
    # A name of its own: the engine's tool of a killed run may still be writing into the one before.
    fresh = Path(tempfile.mkdtemp(prefix=f"{data.name}.init-", dir=data.parent))
    rendered_files.own(fresh, spec.user)
    _run_init(spec, [part.replace("{data}", str(fresh)) for part in spec.init.command])
    if data.exists():
        data.rmdir()
    fresh.rename(data)


def _refuse_guarded(spec: ProcessSpec) -> None:
    """Raise RagopsError (service_failed) if its guard refuses a start; the log gets what the guard printed."""
    if not spec.guard:
        return
    command = ["sh", "-c", spec.guard]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_INIT_TIMEOUT, cwd=spec.data_dir, check=False
    )
    if done.returncode != 0:
        with log_path(Path(spec.run_dir), spec.service).open("a") as log:
            log.write(done.stdout)
        raise RagopsError("service_failed", f"cannot start {spec.service}: {done.stdout.strip()}", _log_hint(spec))


def _run_init(spec: ProcessSpec, command: Sequence[str]) -> None:
    hint = "mend that, then run the command again: it starts over"
    try:
        done = subprocess.run(
            [*_launcher("", "", spec.user), *command],
            capture_output=True, text=True, timeout=_INIT_TIMEOUT, cwd="/", check=False, env=_environment(spec),
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        what = f"cannot initialise {spec.service} within {_INIT_TIMEOUT:.0f} s"
        raise RagopsError("init_failed", what, hint) from error
    if done.returncode != 0:
        reason = (done.stderr.strip() or done.stdout.strip())[-800:]
        what = f"cannot initialise {spec.service} (exit {done.returncode}): {reason}"
        raise RagopsError("init_failed", what, hint)


def _environment(spec: ProcessSpec) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "TZ", "HOME") if name in os.environ}
    return {**inherited, "LANG": "C.UTF-8", **spec.environment}


def _launch(spec: ProcessSpec, extra_args: Sequence[str]) -> None:
    run_dir = Path(spec.run_dir)
    (run_dir / RECORD).unlink(missing_ok=True)
    log = log_path(run_dir, spec.service)
    rotate(log)
    digest = "" if extra_args else spec.digest()  # what runs otherwise than provisioned is never adopted
    arguments = _launcher(str(run_dir / RECORD), digest, spec.user)
    with log.open("ab") as stream:
        log.chmod(SECRET_MODE)  # statements that failed stand in it with their values
        process = subprocess.Popen(
            [*arguments, *spec.command, *extra_args],
            stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
            cwd="/", env=_environment(spec), start_new_session=True,
        )  # fmt: skip
    wait_until(lambda: read_record(run_dir) is not None or process.poll() is not None, 10, _POLL / 10)


def _launcher(record: str, digest: str, user: str) -> list[str]:
    """Return arguments that become what follows them.

    Changing the user is the launcher's work, not subprocess's: that would fork, and a fork of a process in which gRPC's
    threads run, as they do in Pulumi's provider host, crashes now and then.
    """
    return [sys.executable, "-I", "-S", exec_wrapper.__file__, str(os.getpid()), record, digest, user]


def _log_hint(spec: ProcessSpec) -> str:
    lines = tail(log_path(Path(spec.run_dir), spec.service), 8)
    return "its log ends:\n" + "\n".join(f"  {line}" for line in lines) if lines else "its log is empty"
