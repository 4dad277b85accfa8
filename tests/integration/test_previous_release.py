"""A platform that the previous release provisioned goes on under this one: plan, up and down, with its data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_line import Cli
from tests.previous_release import CHECKOUT, WRITTEN, Installation, Stores, extract_previous

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import psutil

pytestmark = [pytest.mark.engine, pytest.mark.packaging, pytest.mark.timeout(600)]


@pytest.fixture
def installed(workspace: Path, project: Path) -> Iterator[Installation]:
    """The previous release, and a platform of it that is up; stopped by this one at the end."""
    made = Installation(workspace, Cli.environment())
    made.use(extract_previous(workspace / "previous"))
    made.run("up", "--yes", cwd=project)
    try:
        yield made
    finally:
        made.use(CHECKOUT)
        made.run("down", "--yes", cwd=project, code=None)


def test_what_the_previous_release_provisioned_goes_on(
    installed: Installation, project: Path, processes_of: Callable[[Path], list[psutil.Process]]
) -> None:
    def document(*arguments: str) -> Any:
        return json.loads(installed.run("--json", *arguments, cwd=project).stdout)

    stores = Stores(project, document("outputs", "--show-secrets"))
    stores.write()
    installed.use(CHECKOUT)

    actions = {change["resource"]: change["action"] for change in document("plan")["changes"]}
    assert set(actions.values()) <= {"update"}, "services restart once, and are not replaced"
    assert document("up", "--yes")["health"]["probes"]
    assert stores.read() == WRITTEN
    assert document("plan")["changes"] == []

    installed.run("down", "--yes", cwd=project)
    assert processes_of(project) == []
    document("up", "--yes")
    assert stores.read() == WRITTEN


def test_what_the_previous_release_left_up_is_stopped(
    installed: Installation, project: Path, processes_of: Callable[[Path], list[psutil.Process]]
) -> None:
    installed.use(CHECKOUT)
    stopped = json.loads(installed.run("--json", "down", "--yes", cwd=project).stdout)["stopped"]
    assert {"redis", "timescaledb", "qdrant", "api", "gateway"} <= {*stopped}
    assert processes_of(project) == []
