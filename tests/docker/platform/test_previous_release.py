"""A platform in containers that the previous release provisioned goes on under this one, with its data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import Cli
from tests.previous_release import CHECKOUT, WRITTEN, Installation, Stores, extract_previous

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Upgraded:
    """A platform whose `ragops` is replaced while it is up."""

    def __init__(self, whole: Any, installation: Installation) -> None:
        self.whole, self.installation = whole, installation

    def run(self, *arguments: str, code: int | None = 0) -> Any:
        return self.installation.run(*arguments, cwd=self.whole.root, code=code, timeout=600)

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run("--json", *arguments).stdout)

    def watch(self, *, is_known: bool) -> None:
        """Leave observability out: by its key, or without it for a release that does not have it."""
        values = {name: value for name, value in self.whole.settings.items() if name != "observability"}
        values |= {"observability": False} if is_known else {}
        (self.whole.root / "ragops.yaml").write_text(json.dumps(values))

    def upgrade(self) -> None:
        """Have this release take over."""
        self.watch(is_known=True)
        self.installation.use(CHECKOUT)


@pytest.fixture
def upgraded(fresh: Any, workspace: Path) -> Iterator[Upgraded]:
    """Up by the previous release; removed by this one at the end."""
    made = Upgraded(fresh, Installation(workspace, Cli.environment()))
    made.installation.use(extract_previous(workspace / "previous"))
    made.watch(is_known=False)
    made.run("up", "--yes")
    try:
        yield made
    finally:
        made.installation.use(CHECKOUT)


def test_what_the_previous_release_provisioned_goes_on(upgraded: Upgraded, instances: tuple[str, ...]) -> None:
    stores = Stores(upgraded.whole.root, upgraded.json("outputs", "--show-secrets"))
    stores.write()
    before = {name: upgraded.whole.inspect(name)["Mounts"] for name in instances}
    upgraded.upgrade()

    changes = {change["resource"]: change["action"] for change in upgraded.json("plan")["changes"]}
    assert not {name for name, action in changes.items() if action == "delete"}
    assert not {name for name, action in changes.items() if action == "replace" and name not in instances}
    upgraded.run("up", "--yes")
    assert stores.read() == WRITTEN
    assert upgraded.json("plan")["changes"] == []
    assert upgraded.json("drift")["resources"] == []
    volumes = {name: sorted(mount["Name"] for mount in mounts if "Name" in mount) for name, mounts in before.items()}
    assert volumes == {
        name: sorted(mount["Name"] for mount in upgraded.whole.inspect(name)["Mounts"] if "Name" in mount)
        for name in instances
    }, "the data are in the same volumes"

    upgraded.run("down", "--yes")
    upgraded.run("up", "--yes")
    assert stores.read() == WRITTEN


def test_what_the_previous_release_left_up_is_stopped(upgraded: Upgraded) -> None:
    upgraded.upgrade()
    upgraded.run("down", "--yes")
    assert upgraded.whole.docker.containers(upgraded.whole.names.labels()) == ()
