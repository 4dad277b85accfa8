"""A restore killed at points spread over all that it does: no store is ever without its old or its new contents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.faults.lab import NAMES

if TYPE_CHECKING:
    from tests.integration.faults.lab import Lab

pytestmark = [pytest.mark.fault]

POINTS = 24
BACK = 6  # every so many kills the way back is gone, too


@pytest.fixture(scope="module")
def point_a(package_lab: Lab) -> str:
    """A recovery point of contents A."""
    package_lab.configure()
    package_lab.empty_repositories()
    package_lab.fill("A")
    return package_lab.take()


@pytest.fixture(scope="module")
def total(package_lab: Lab, point_a: str) -> int:
    """Side effects of a restore that nobody kills, its safety recovery point included."""
    package_lab.fill("B")
    done = package_lab("restore", point_a, "--yes")
    assert package_lab.contents() == package_lab.expected("A")
    assert len(done.trace) > 250, "else the points lie far apart"
    return len(done.trace)


@pytest.fixture
def changed(package_lab: Lab, point_a: str) -> Lab:
    """Contents B, of which no recovery point is left."""
    package_lab.fill("B")
    package_lab.empty_repositories(keep=point_a)
    package_lab.paths.restore_journal.unlink(missing_ok=True)
    return package_lab


@pytest.mark.parametrize("point", range(1, POINTS + 1))
def test_killed_and_run_again(changed: Lab, point_a: str, total: int, point: int) -> None:
    lab = changed
    command = ("restore", point_a, "--yes")
    where = lab.killed(*command, point=point, of=POINTS, total=total)
    try:
        down = [name for name in NAMES if not lab.runs(name)]
        if point % 2:  # by ragops itself, the other times
            lab.start(*down)
            down = []
        for name in NAMES:
            if name not in down:
                assert lab.old_or_new(name, old="B", new="A"), f"{name} has neither its old nor its new contents"
        lab(*command)
        assert lab.contents() == lab.expected("A")
        assert lab.leftovers() == []
        assert not lab.paths.restore_journal.exists()
        safety = [item["id"] for item in lab.listed() if item["kind"] == "safety"]
        assert safety, "there is a way back"
        if point % BACK == 0:
            lab("restore", safety[-1], "--yes", "--no-safety")
            assert lab.contents() == lab.expected("B"), "the first way back is that to the contents from before"
    except AssertionError as error:
        error.add_note(f"killed before {where}")
        raise
