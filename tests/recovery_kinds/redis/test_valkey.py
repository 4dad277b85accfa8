"""Every data set on Valkey, the engine of the embedded runtime."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.engines import platform_of
from tests.integration.conftest import repos, root, valkey
from tests.recovery_kinds.redis.data_sets import DATA_SETS
from tests.recovery_kinds.redis.kinds import prove

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.recovery.repositories import Repositories
    from tests.engines import Engine

__all__ = ["repos", "root", "valkey"]  # fixtures
pytestmark = pytest.mark.kinds


@pytest.mark.parametrize("name", DATA_SETS)
def test_it_comes_back_equal_or_is_named(name: str, root: Path, valkey: Engine, repos: Repositories) -> None:
    valkey.start()
    valkey.endpoint = replace(valkey.endpoint, options={"users": "ragops,rag,health"})

    def wipe() -> None:
        valkey.kill()
        shutil.rmtree(valkey.data)
        valkey.start()

    prove(name, valkey.endpoint, platform_of(root, valkey), repos, wipe)
