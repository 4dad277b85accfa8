"""Every data set on Redis 8 in its image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.docker.conftest import docker, image, module_mine
from tests.docker.services.conftest import repos, start
from tests.recovery_kinds.redis.data_sets import DATA_SETS
from tests.recovery_kinds.redis.kinds import prove

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.recovery.repositories import Repositories

__all__ = ["docker", "image", "module_mine", "repos", "start"]  # fixtures
pytestmark = pytest.mark.kinds


@pytest.fixture(scope="module")
def service(start: Any) -> Any:
    return start("redis", maxmemory="256mb")


@pytest.mark.parametrize("name", DATA_SETS)
def test_it_comes_back_equal_or_is_named(name: str, service: Any, repos: Repositories, tmp_path: Path) -> None:
    if not service.control.is_running():
        service.control.start()

    def wipe() -> None:
        service.control.stop()
        service.control.move_data_aside("wiped")
        service.control.start()

    prove(name, service.endpoint, service.platform(tmp_path / "ragops.yaml"), repos, wipe)
