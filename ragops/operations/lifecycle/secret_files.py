"""The files with secrets that ragops.yaml names: read when they are needed, and only if no one else can read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.private_file import read_words
from ragops.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.config.model import Settings


def read_secret_files(settings: Settings, root: Path) -> dict[str, str]:
    """Return the contents of the files of `observability:`, by their names there; relative ones are relative to `root`.

    Raises UsageError (secret_file_unreadable, secret_file_open).
    """
    section = getattr(settings, "observability", None)
    return {name: _read(root / name) for name in section.secret_files()} if section else {}


def _read(path: Path) -> str:
    """Return the one line of a file that only its owner can read."""
    words = read_words(path, str(path), "secret_file", "secret")
    if len(words) != 1:
        raise UsageError("secret_file_unreadable", f"cannot use {path}: it does not hold one word", "write it there")
    return words[0]
