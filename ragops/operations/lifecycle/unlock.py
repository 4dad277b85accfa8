"""`ragops unlock`: the lock of a Pulumi state whose holder is gone for good is released."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.files import explain_os_error
from ragops.adapters.pulumi.locks import StateLockHolder
from ragops.errors import LockedError
from ragops.operations.lifecycle.stack import open_existing, stack_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
        what = f"the Pulumi state is in use by {holder}, and that engine runs"
        hint = f"wait for it; to end it, which finishes its steps and saves its state: `kill -INT {holder.pid}`"
        raise LockedError("state_locked", what, hint)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}.attrs").unlink(missing_ok=True)
    except OSError as error:
        raise explain_os_error(error, f"remove the lock {path}") from error
