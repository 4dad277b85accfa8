"""Makes the age identity that opens encrypted recovery points."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.adapters.files import create_private, explain_os_error
from ragops.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_VERIFY = "# verify key: "


@dataclass(frozen=True)
class Identity:
    """A new identity in `file`; `recipient` is its public half, `verify_key` that of the project, if there is one."""

    file: str
    recipient: str
    verify_key: str


def keygen(path: Path, verify_key: str) -> Identity:
    """Write a new identity to the new file `path` (0600), in the form of `age-keygen`.

    The project's verification key goes with it as a comment, so that `recover` knows whom to trust. Raises UsageError
    (file_exists), RagopsError (not_permitted), MissingError (disk_full).
    """
    from pyrage import x25519

    identity = x25519.Identity.generate()
    recipient = str(identity.to_public())
    lines = [f"# created: {datetime.now(tz=UTC):%Y-%m-%dT%H:%M:%SZ}", f"# public key: {recipient}"]
    if verify_key:
        lines.append(f"{_VERIFY}{verify_key}")
    try:
        with create_private(path) as stream:
            stream.write("\n".join([*lines, str(identity), ""]).encode())
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError as error:
        what = f"cannot write {path}: it is already there, and an identity is never overwritten"
        raise UsageError("file_exists", what, "name another file") from error
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)  # half a key opens nothing, and the next attempt would find it in the way
        raise explain_os_error(error, f"write {path}") from error
    return Identity(str(path), recipient, verify_key)


def verify_keys_in(path: Path) -> tuple[str, ...]:
    """Return the verification keys that an identity file names; empty if it cannot be read."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return ()
    return tuple(line.removeprefix(_VERIFY).strip() for line in lines if line.startswith(_VERIFY))
