"""Files of tests: folders that other users may pass, programs."""

from __future__ import annotations

import tempfile
from pathlib import Path


def let_everyone_pass(folder: Path) -> None:
    """Open `folder` and all above it that pytest made: under pytest-xdist there is one more of them."""
    top = Path(tempfile.gettempdir()).resolve()
    for each in (folder, *folder.resolve().parents):
        if top in each.resolve().parents:
            each.chmod(0o755)


def make_program(path: Path, says: str) -> Path:
    """A program that prints one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {says}\n")
    path.chmod(0o755)
    return path
