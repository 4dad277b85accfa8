"""`ragops up --repair-state`: a Pulumi state that cannot be used is kept aside, and what runs is taken up again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.pulumi.state import StateFault
from ragops.errors import RagopsError, UsageError
from ragops.operations.lifecycle.stack import open_existing, stack_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.adapters.pulumi.state import LocalState
    from ragops.operations.session import Session

_UNUSABLE = ("engine_failed", "passphrase_missing", "wrong_passphrase")


def repair_state(session: Session, ask: Callable[[StateFault], None]) -> None:
    """Set the state aside if it cannot be used; a whole one stays. Services and data are not touched.

    `ask` raises if the answer is no. Raises UsageError (state_elsewhere) if the state is in no folder of this
    machine, RagopsError (not_permitted) if it may be whole but not be read.
    """
    options = stack_options(session.project)
    state = options.local()
    if state is None:
        what = f"the Pulumi state lies at {options.backend or 'the place that PULUMI_BACKEND_URL names'}"
        hint = "repair it there: each backend keeps older versions of a file in its own way"
        raise UsageError("state_elsewhere", f"{what}, and ragops repairs one in a folder only", hint)
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
