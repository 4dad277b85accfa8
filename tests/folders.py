"""Folders of tests that other users than the one who runs them have to pass."""

from __future__ import annotations

import tempfile
from pathlib import Path


def let_everyone_pass(folder: Path) -> None:
    """Open `folder` and all above it that pytest made: under pytest-xdist there is one more of them."""
    top = Path(tempfile.gettempdir()).resolve()
    for each in (folder, *folder.resolve().parents):
        if top in each.resolve().parents:
            each.chmod(0o755)
