"""Temporary folders; the next run removes those of killed runs."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters.process_identity import format_mark, is_mark_gone

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "ragops-scratch-"


@contextmanager
def private_temp_dir() -> Iterator[Path]:
    """Create a folder with mode 0700, removed when the block ends. Raises OSError."""
    clear_leftovers()
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{format_mark()}-") as name:
        yield Path(name)


def clear_leftovers() -> None:
    """Remove the folders of runs that were killed: they hold passwords and whole copies of data."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        with contextlib.suppress(OSError):  # gone by now
            if is_mark_gone(folder.name.removeprefix(_PREFIX), folder.stat().st_mtime):
                shutil.rmtree(folder, ignore_errors=True)
