"""What tests of operations share: engines that hold bytes, and a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.backup_helpers import open_repositories
from tests.fake_engines import FakeEngine, engines, plugged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.recovery.repositories import Repositories


@pytest.fixture
def fakes() -> Iterator[dict[str, FakeEngine]]:
    """An engine of bytes for each service, in the place of the real ones."""
    found = engines()
    with plugged(found):
        yield found


@pytest.fixture
def repos(tmp_path: Path) -> Repositories:
    """One repository, not encrypted."""
    return open_repositories(tmp_path)
