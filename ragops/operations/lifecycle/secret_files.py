"""The files with secrets that ragops.yaml names: read when they are needed, and only if no one else can read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.config.model import Settings

_OTHERS = 0o077


def read_secret_files(settings: Settings, root: Path) -> dict[str, str]:
    """Return the contents of the files of `observability:`, by their names there; relative ones are relative to `root`.

    Raises UsageError (secret_file_unreadable, secret_file_open).
    """
    section = getattr(settings, "observability", None)
    return {name: _read(root / name) for name in section.secret_files()} if section else {}


def _read(path: Path) -> str:
    """Return the one line of a file that only its owner can read."""
    try:
        mode = path.stat().st_mode & 0o777
        if mode & _OTHERS:
            what = f"cannot use {path}: others can read it, its mode is {mode:o}"
            raise UsageError("secret_file_open", what, f"`chmod 600 {path}`")
        lines = path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise UsageError("secret_file_unreadable", f"cannot read {path}: {why}", "write the secret there") from error
    if len(lines) != 1:
        raise UsageError("secret_file_unreadable", f"cannot use {path}: it does not hold one word", "write it there")
    return lines[0]
