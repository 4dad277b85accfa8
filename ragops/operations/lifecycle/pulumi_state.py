"""The Pulumi state: release a lock whose holder is gone (`unlock`), set a broken one aside (`up --repair-state`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.files import explain_os_error
from ragops.adapters.pulumi.locks import StateLockHolder
from ragops.adapters.pulumi.state import StateFault
from ragops.errors import LockedError, RagopsError, UsageError
from ragops.operations.lifecycle.stack import open_existing, stack_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ragops.adapters.pulumi.state import LocalState
    from ragops.operations.session import Session


@dataclass(frozen=True)
class Unlocked:
    """Whose locks were released; none if the state was not locked."""

    released: tuple[str, ...]


def unlock(session: Session, ask: Callable[[str], None]) -> Unlocked:
    """Release the lock of the environment's Pulumi state.

    `ask` hears who holds it and raises if the answer is no. Raises LockedError if a ragops command is at work in
    the environment, or the holder is a process of this machine that runs.
    """
    state = stack_options(session.project).local()
    if state and not _locks(state.locks):
        return Unlocked(())  # nothing to change, so no trace of a change
    with session.changing():
        if state is None:
            ask("the holder of the lock, which the place of the state does not name")
            open_existing(session.project, session.secrets()).release_lock()
            return Unlocked(("the lock of the state, if there was one",))
        found = _locks(state.locks)
        for holder in found.values():
            _refuse_living(holder)
        if not found:
            return Unlocked(())  # its holder has ended since
        ask("; ".join(map(str, found.values())))
        for path in found:
            _remove(path)
        return Unlocked(tuple(map(str, found.values())))


def _locks(folder: Path) -> dict[Path, StateLockHolder]:
    """Return the locks and their holders; one that cannot be read is somebody's all the same."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            values = json.loads(path.read_text())
            holder = StateLockHolder(
                values["username"], values["hostname"], int(values["pid"]), values.get("timestamp", "")
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            holder = StateLockHolder("unknown", f"unknown ({path.name} cannot be read)", 0)
        found[path] = holder
    return found


def _refuse_living(holder: StateLockHolder) -> None:
    if holder.is_here and not holder.is_gone():
        what = f"cannot unlock the Pulumi state: it is in use by {holder}, and that engine runs"
        hint = f"wait for it; to end it, which finishes its steps and saves its state: `kill -INT {holder.pid}`"
        raise LockedError("state_locked", what, hint)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}.attrs").unlink(missing_ok=True)
    except OSError as error:
        raise explain_os_error(error, f"remove the lock {path}") from error


_UNUSABLE = ("engine_failed", "passphrase_missing", "wrong_passphrase")


def repair_state(session: Session, ask: Callable[[StateFault], None]) -> None:
    """Set the state aside if it cannot be used; a whole one stays. Services and data are not touched.

    `ask` raises if the answer is no. Raises UsageError (state_elsewhere) if the state is in no folder of this
    machine, RagopsError (not_permitted) if it may be whole but not be read.
    """
    options = stack_options(session.project)
    state = options.local()
    if state is None:
        what = f"it lies at {options.backend or 'the place that PULUMI_BACKEND_URL names'}"
        hint = "repair it there: each backend keeps older versions of a file in its own way"
        raise UsageError(
            "state_elsewhere", f"cannot repair the Pulumi state: {what}, and ragops repairs one in a folder only", hint
        )
    fault = _fault(session, state)
    if fault is None:
        session.notice("the Pulumi state is whole: there is nothing to repair")
        return
    ask(fault)
    session.project.paths.fingerprint.unlink(missing_ok=True)  # `up` is to look ahead, and ask
    if fault.file != state.checkpoint and state.fault() is None and state.repair_salt() and not _fault(session, state):
        session.notice(f"{state.settings} has the salt of the state again")
        return
    target, from_backup = state.set_aside(keep_backup=True)
    if from_backup and _fault(session, state):
        state.set_aside(keep_backup=False)
        from_backup = False
    now = "the state of one step before is in force" if from_backup else "a new state begins"
    session.notice(f"the broken state is kept in {target}; {now}, and what runs is taken up again")


def _fault(session: Session, state: LocalState) -> StateFault | None:
    """Return what is wrong with the state: a file, or that the engine cannot open it."""
    if fault := state.fault():
        return fault
    try:
        open_existing(session.project, session.secrets()).drift()  # which opens every secret
    except RagopsError as error:
        if error.code not in _UNUSABLE:
            raise
        return StateFault(state.settings if "passphrase" in error.code else state.checkpoint, error.message)
    return None
