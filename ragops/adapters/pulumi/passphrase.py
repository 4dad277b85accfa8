"""The passphrase of a Pulumi state: the stored one, or that of the shell if none is stored."""

from __future__ import annotations

import os
import secrets as random
from pathlib import Path

from ragops.adapters.files import SECRET_MODE, explain_os_error, write_atomic
from ragops.errors import MissingError, UsageError

VALUE, FILE = "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"


def passphrase_variables(stored: Path, *, in_use: bool) -> dict[str, str]:
    """Return the variables for the engine; the file `stored` is made if there is none and none is given.

    `in_use`: something is encrypted with the passphrase already. Raises UsageError (passphrase_differs) if the shell
    gives another passphrase than the stored one: the engine would take the shell's. Raises MissingError
    (passphrase_missing) if none is left, RagopsError (not_permitted) if it cannot be read.
    """
    name, given = _given()
    if not stored.exists():
        if name:
            return {}
        if in_use:
            what = f"the passphrase that opens the Pulumi state is gone: {stored} is not there"
            hint = f"put the file back, set {VALUE}, or start a new state: `ragops up --repair-state`"
            raise MissingError("passphrase_missing", what, hint)
        write_atomic(stored, random.token_urlsafe(32), SECRET_MODE)
    kept = _read(stored)
    if name and given != kept:
        what = f"{name} is set in this shell to another passphrase than that of this environment ({stored})"
        raise UsageError("passphrase_differs", what, f"run the command without it: `unset {name}`")
    # As both are the same, the stored one is named alone: the engine prefers a value to a file.
    return {FILE: str(stored)} if not name else {}


def _given() -> tuple[str, str]:
    """Return the variable that gives a passphrase, and the passphrase; as in the engine, a value precedes a file."""
    if VALUE in os.environ:
        return VALUE, os.environ[VALUE].strip()
    if named := os.environ.get(FILE):
        return FILE, _read(Path(named))
    return "", ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise explain_os_error(error, f"read the passphrase {path}") from error
