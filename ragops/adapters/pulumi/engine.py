"""The one module that talks to Pulumi's Automation API; translates its errors."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pulumi import automation
from pulumi.automation._stack import StackInitMode  # Pulumi is pinned to one version
from pulumi.automation.errors import CommandError, ConcurrentUpdateError, StackNotFoundError

from ragops.adapters.files import make_dir
from ragops.adapters.pulumi.command import InterruptibleCommand
from ragops.adapters.pulumi.errors import translate
from ragops.adapters.pulumi.events import EventRecorder, Step
from ragops.adapters.pulumi.locks import are_all_gone, parse_holders
from ragops.adapters.pulumi.options import backend_url, environment
from ragops.errors import LockedError, MissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ragops.adapters.pulumi.install import Engine
    from ragops.adapters.pulumi.options import StackOptions

NO_STACK = "no_stack"

_LOCK_WAIT = 90.0
_ORPHAN_POLL = 0.5
_ENGINES_OWN = "pulumi:"
_PRIVATE = 0o700

_T = TypeVar("_T")


@dataclass(frozen=True)
class StackResource:
    """One resource of the state; `id` is what its provider calls it (a container's id, a volume's name).

    Secrets among `outputs` are sealed.
    """

    urn: str
    name: str
    type: str
    id: str
    outputs: Mapping[str, Any]


@dataclass(frozen=True)
class UpReport:
    """The steps of an `up`, and the stack's outputs after it."""

    steps: tuple[Step, ...]
    outputs: Mapping[str, Any]


class PulumiStack:
    """One stack, driven by an inline program.

    Raises MissingError (no_stack) unless `create` if there is none.
    """

    def __init__(
        self, engine: Engine, options: StackOptions, program: Callable[[], None], *, create: bool = True
    ) -> None:
        self._options, self._create = options, create
        self._local = options.local()
        if self._local:
            self._local.remove_cut_attributes()
        if self._local and (fault := self._local.fault()):
            raise fault.error()
        if not create and self._local and not self._local.checkpoint.exists():
            raise _no_stack(options)
        make_dir(options.work_dir, _PRIVATE)
        self._stack = self._run(lambda: self._open(engine, program))

    def preview(self) -> tuple[Step, ...]:
        """Return the steps of an `up`, after a refresh."""
        recorder = EventRecorder()
        self._run(lambda: self._stack.preview(refresh=True, on_event=recorder, color="never"), recorder)
        return tuple(recorder.steps)

    def drift(self) -> tuple[Step, ...]:
        """Return the differences between the real resources and the state; changes nothing."""
        recorder = EventRecorder()
        self._run(lambda: self._stack.preview_refresh(on_event=recorder, color="never"), recorder)
        return tuple(recorder.steps)

    def up(self, on_step: Callable[[Step], None] | None = None, resources: Sequence[str] = ()) -> UpReport:
        """Refresh, then make it so; what an interrupted run left pending is simply done again.

        With `resources` (their names) only those.
        """
        recorder = EventRecorder(on_step)
        target = [f"**::{name}" for name in resources] or None
        up = partial(self._stack.up, refresh=True, on_event=recorder, color="never", target=target)
        self._run(up, recorder)
        return UpReport(tuple(recorder.steps), recorder.outputs)

    def destroy(self, on_step: Callable[[Step], None] | None = None) -> tuple[Step, ...]:
        """Stop and forget every resource of the stack but those that are protected; the services keep their data."""
        recorder = EventRecorder(on_step)
        destroy = partial(self._stack.destroy, refresh=True, on_event=recorder, color="never", exclude_protected=True)
        self._run(destroy, recorder)
        return tuple(recorder.steps)

    def unprotect(self) -> None:
        """Take the protection from every resource, in the state alone: the next `up` gives it back."""
        # The Automation API has no call for it.
        self._run(lambda: self._stack._run_pulumi_cmd_sync(["state", "unprotect", "--all", "--yes"]))

    def resources(self) -> tuple[StackResource, ...]:
        """Return the resources of the state without the stack itself and its providers. Asks the engine: some 0.4 s."""
        deployment = self._run(self._stack.export_stack).deployment or {}
        return tuple(
            StackResource(
                urn=values["urn"],
                name=values["urn"].rpartition("::")[2],
                type=values["type"],
                id=values.get("id", ""),
                outputs=values.get("outputs") or {},
            )
            for values in deployment.get("resources") or ()
            if not values["type"].startswith(_ENGINES_OWN)
        )

    def release_lock(self) -> None:
        """Release the lock, no matter which process holds it."""
        self._run(self._stack.cancel)

    def _open(self, engine: Engine, program: Callable[[], None]) -> automation.Stack:
        options = self._options
        workspace = _Workspace(
            work_dir=str(options.work_dir),
            program=program,
            pulumi_command=InterruptibleCommand(engine.path, engine.version),
            env_vars=environment(options),
            secrets_provider=None if options.secrets_provider == "passphrase" else options.secrets_provider,
            project_settings=automation.ProjectSettings(
                name=options.project,
                runtime="python",
                backend=automation.ProjectBackend(backend_url(options)) if backend_url(options) else None,
            ),
        )
        workspace.has_stack = self._local is not None and self._local.checkpoint.exists()
        # By the class: its methods that make one return the base class.
        if self._create:
            return _Stack(options.stack, workspace, StackInitMode.CREATE_OR_SELECT)
        try:
            return _Stack(options.stack, workspace, StackInitMode.SELECT)
        except StackNotFoundError as error:
            raise _no_stack(options) from error

    def _run(self, call: Callable[[], _T], recorder: EventRecorder | None = None) -> _T:
        """Run `call`; a stale lock is cleared, every failure of the engine becomes a RagopsError."""
        give_up = time.monotonic() + _LOCK_WAIT
        with self._kept_small():
            while True:
                try:
                    return call()
                except ConcurrentUpdateError as error:
                    self._clear_stale_lock(str(error), give_up)
                except CommandError as error:
                    raise translate(str(error), recorder.messages if recorder else ()) from error

    @contextlib.contextmanager
    def _kept_small(self) -> Iterator[None]:
        """Bound the history and restrict the modes: the engine adds a readable copy of the state each time."""
        try:
            yield
        finally:
            if self._local and self._options.is_own:
                self._local.trim_history()
                self._local.restrict_modes()

    def _clear_stale_lock(self, text: str, give_up: float) -> None:
        """Cancel the lock of an engine that is gone; wait for one that a killed ragops left behind and is ending."""
        found = parse_holders(text)
        if are_all_gone(found):
            self._stack.cancel()
        elif time.monotonic() > give_up or not found or not all(holder.is_here for holder in found):
            by = "; ".join(map(str, found)) or "another run"
            hint = "wait for it; if that process is gone for good, `ragops unlock` releases the lock"
            raise LockedError("state_locked", f"cannot lock the Pulumi state: it is locked by {by}", hint)
        else:
            time.sleep(_ORPHAN_POLL)


class _Workspace(automation.LocalWorkspace):
    """A workspace that does not ask the engine for a stack that is known to exist: every command names its stack."""

    has_stack = False

    def select_stack(self, stack_name: str) -> None:
        if not self.has_stack:
            super().select_stack(stack_name)


class _Stack(automation.Stack):
    """A Stack whose `up` does not ask the engine four more times for what its events have reported."""

    def outputs(self) -> dict[str, automation.OutputValue]:
        return {}

    def info(self, show_secrets: bool = True) -> automation.UpdateSummary:  # noqa: ARG002
        return automation.UpdateSummary("update", datetime.now(tz=UTC), "", {}, {}, "succeeded")


def _no_stack(options: StackOptions) -> MissingError:
    what = f"environment {options.stack!r} was never provisioned: there is no Pulumi state of it"
    return MissingError(NO_STACK, what, "run `ragops up`")
