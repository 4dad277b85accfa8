"""The one module that talks to Pulumi's Automation API; translates its errors."""

from __future__ import annotations

import os
import re
import secrets as random
import socket
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import psutil
from pulumi import automation
from pulumi.automation.errors import CommandError, ConcurrentUpdateError

from ragops.adapters.files import SECRET_MODE, make_dir, write_atomic
from ragops.adapters.pulumi_command import InterruptibleCommand
from ragops.adapters.pulumi_events import Recorder, Step
from ragops.errors import ExitCode, LockedError, RagopsError, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ragops.adapters.pulumi_install import Engine

_LOCK_HOLDER = re.compile(r"created by \S+@(?P<host>\S+) \(pid (?P<pid>\d+)\)")
_LOCK_WAIT = 90.0
_ORPHAN_POLL = 0.5

_T = TypeVar("_T")


@dataclass(frozen=True)
class StackOptions:
    """Which stack, where its state lives (`backend` URL) and what encrypts its secrets."""

    project: str
    stack: str
    work_dir: Path
    passphrase_file: Path
    backend: str = ""
    secrets_provider: str = "passphrase"


@dataclass(frozen=True)
class UpReport:
    """What an `up` did, and the stack's outputs after it."""

    steps: tuple[Step, ...]
    outputs: Mapping[str, Any]


class PulumiStack:
    """One stack, driven by an inline program."""

    def __init__(self, engine: Engine, options: StackOptions, program: Callable[[], None]) -> None:
        self._options = options
        make_dir(options.work_dir)
        self._stack = self._translated(lambda: self._open(engine, program))

    def preview(self) -> tuple[Step, ...]:
        """What `up` would do, after a look at what is really there."""
        recorder = Recorder()
        self._translated(lambda: self._stack.preview(refresh=True, on_event=recorder, color="never"), recorder)
        return tuple(recorder.steps)

    def drift(self) -> tuple[Step, ...]:
        """Where what is really there differs from the state; changes nothing."""
        recorder = Recorder()
        self._translated(lambda: self._stack.preview_refresh(on_event=recorder, color="never"), recorder)
        return tuple(recorder.steps)

    def up(self, on_step: Callable[[Step], None] | None = None, resource: str = "") -> UpReport:
        """Refresh, then make it so; what an interrupted run left pending is simply done again.

        With `resource` (its name) only that one.
        """
        recorder = Recorder(on_step)
        target = [f"**::{resource}"] if resource else None
        up = partial(self._stack.up, refresh=True, on_event=recorder, color="never", target=target)
        self._translated(up, recorder)
        return UpReport(tuple(recorder.steps), recorder.outputs)

    def destroy(self, on_step: Callable[[Step], None] | None = None) -> tuple[Step, ...]:
        """Stop and forget every resource of the stack; the services keep their data."""
        recorder = Recorder(on_step)
        self._translated(
            lambda: self._stack.destroy(refresh=True, on_event=recorder, color="never", exclude_protected=True),
            recorder,
        )
        return tuple(recorder.steps)

    def _open(self, engine: Engine, program: Callable[[], None]) -> automation.Stack:
        options = self._options
        workspace = automation.LocalWorkspace(
            work_dir=str(options.work_dir),
            program=program,
            pulumi_command=InterruptibleCommand(engine.path, engine.version),
            env_vars=_environment(options),
            secrets_provider=None if options.secrets_provider == "passphrase" else options.secrets_provider,
            project_settings=automation.ProjectSettings(
                name=options.project,
                runtime="python",
                backend=automation.ProjectBackend(_backend(options)) if _backend(options) else None,
            ),
        )
        return _Stack.create_or_select(options.stack, workspace)

    def _translated(self, call: Callable[[], _T], recorder: Recorder | None = None) -> _T:
        """Run `call`; a stale lock is cleared, every failure of the engine becomes a RagopsError."""
        give_up = time.monotonic() + _LOCK_WAIT
        while True:
            try:
                return call()
            except ConcurrentUpdateError as error:
                self._clear_stale_lock(str(error), give_up)
            except CommandError as error:
                raise _translate(str(error), recorder) from error

    def _clear_stale_lock(self, text: str, give_up: float) -> None:
        """Cancel the lock of an engine that is gone; wait for one that a killed ragops left behind and is ending."""
        holder = _LOCK_HOLDER.search(text)
        if holder is None or holder["host"] != socket.gethostname():
            where = f"by pid {holder['pid']} on {holder['host']}" if holder else "by another run"
            raise LockedError(
                "state_locked", f"the Pulumi state is locked {where}", "wait for it; if it is gone, `pulumi cancel`"
            )
        if not psutil.pid_exists(int(holder["pid"])):
            self._stack.cancel()
        elif time.monotonic() > give_up:
            what = f"the Pulumi state is locked by pid {holder['pid']} of this machine"
            raise LockedError("state_locked", what, f"wait for it, or end it: kill -INT {holder['pid']}")
        else:
            time.sleep(_ORPHAN_POLL)


class _Stack(automation.Stack):
    """A Stack whose `up` does not ask the engine four more times for what its events have already told."""

    def outputs(self) -> dict[str, automation.OutputValue]:
        return {}

    def info(self, show_secrets: bool = True) -> automation.UpdateSummary:  # noqa: ARG002
        return automation.UpdateSummary("update", datetime.now(tz=UTC), "", {}, {}, "succeeded")


def _backend(options: StackOptions) -> str:
    """The state's URL: ragops.yaml's, else the environment's, else a folder in the work directory."""
    if options.backend:
        return options.backend
    if os.environ.get("PULUMI_BACKEND_URL"):
        return ""
    state = make_dir(options.work_dir / "state")
    return state.as_uri()


def _environment(options: StackOptions) -> dict[str, str]:
    """What the engine finds in its environment: the passphrase's file and the host of our dynamic providers."""
    variables = {
        "PATH": f"{_provider_host(options.work_dir)}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    given = "PULUMI_CONFIG_PASSPHRASE" in os.environ or "PULUMI_CONFIG_PASSPHRASE_FILE" in os.environ
    if options.secrets_provider == "passphrase" and not given:
        if not options.passphrase_file.exists():
            write_atomic(options.passphrase_file, random.token_urlsafe(32), SECRET_MODE)
        variables["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(options.passphrase_file)
    return variables


def _provider_host(work_dir: Path) -> Path:
    """A folder with the executable that the engine starts for dynamic providers, running this very Python."""
    host = work_dir / "bin" / "pulumi-resource-pulumi-python"
    script = f'#!/bin/sh\nexec "{sys.executable}" -u -m ragops.adapters.provider_host "$@"\n'
    if not host.exists() or host.read_text() != script:
        write_atomic(host, script, 0o755)
    return host.parent


_CURES = (
    (
        "incorrect passphrase",
        "wrong_passphrase",
        "the passphrase does not open the Pulumi state",
        "put the right one into the environment's passphrase file, or set PULUMI_CONFIG_PASSPHRASE",
    ),
    (
        "no space left on device",
        "disk_full",
        "no space is left where the Pulumi state lies",
        "free some space, then run the command again",
    ),
    (
        "read-only file system",
        "not_permitted",
        "the Pulumi state cannot be written",
        "check the mount of the project's folder",
    ),
)


def _translate(text: str, recorder: Recorder | None) -> RagopsError:
    """The RagopsError inside the engine's output, else what is known about it, else its last words."""
    messages = recorder.messages if recorder else []
    for message in (*messages, text):
        if found := decode(message):
            return found
    for mark, code, message, hint in _CURES:
        if mark in text:
            return RagopsError(code, message, hint, exit_code=ExitCode.MISSING if code == "disk_full" else None)
    words = "\n".join(messages) or text.partition("stderr:")[2].strip() or text.strip()
    return RagopsError(
        "engine_failed", f"the Pulumi engine failed: {words[-1500:]}", "run with --verbose for all of it"
    )
