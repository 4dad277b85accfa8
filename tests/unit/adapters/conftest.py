"""What tests of the Pulumi engine's installation share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, nothing on PATH but what a test puts into `bin`."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RAGOPS_CACHE_DIR", str(folder))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("RAGOPS_PULUMI", raising=False)
    return folder
