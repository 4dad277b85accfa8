"""Files with a secret that a person wrote: read only if no one else can read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_OTHERS = 0o077


def read_words(path: Path, name: str, kind: str, noun: str) -> list[str]:
    """Return the words of a file that only its owner can read.

    Messages have `name` for the file and `noun` for what is to be in it. Raises UsageError, whose code begins with
    `kind` (_open, _unreadable).
    """
    try:
        mode = path.stat().st_mode & 0o777
        if mode & _OTHERS:
            what = f"cannot use {name}: others can read it, its mode is {mode:o}"
            raise UsageError(f"{kind}_open", what, f"`chmod 600 {path}`")
        return path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        what, hint = f"cannot read {name}: {why}", f"write the {noun} there"
        raise UsageError(f"{kind}_unreadable", what, hint) from error
