"""The clock set back, or forward and back again: the order of recovery points is that in which they were taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.faults.lab import Lab

pytestmark = [pytest.mark.fault, pytest.mark.campaign(of="clocks", sample=2)]

DAY = 86_400.0


def taken_at(lab: Lab, days: float) -> str:
    return str(lab("backup", "run", "--json", clock=days * DAY).json()["id"])


def test_the_newest_is_the_one_taken_last(lab: Lab) -> None:
    """Before 2038 and before 2001, where times have another number of digits."""
    lab.configure(keep={"daily": 1})
    in_order = []
    for which, days in (("A", 0.0), ("B", 4000.0), ("A", -9000.0)):
        lab.fill(which)
        in_order.append(taken_at(lab, days))
    assert sorted(in_order) != in_order, "else the ids alone would tell the order"
    assert [point["id"] for point in lab.listed()] == in_order[::-1]
    assert lab("backup", "show", "latest", "--json").json()["id"] == in_order[-1]
    lab.fill("B")
    lab("restore", "latest", "--yes", "--no-safety", clock=-9000 * DAY)
    assert lab.contents() == lab.expected("A")


@pytest.mark.parametrize("days", [-400.0, 400.0])
def test_prune_keeps_the_one_taken_last(lab: Lab, days: float) -> None:
    """Whatever the clock says while it prunes, and in both repositories."""
    lab.configure(keep={"daily": 1})
    older, newest = taken_at(lab, 0), taken_at(lab, days)
    verdicts = lab("backup", "prune", "--dry-run", "--json", clock=-days * DAY).json()["repositories"]
    for repository in verdicts:
        assert {item["id"]: item["stays"] for item in repository["points"]} == {older: False, newest: True}
    lab("backup", "prune", clock=-days * DAY)
    assert [point["id"] for point in lab.listed()] == [newest]
    lab("backup", "verify", newest, "--repository", "2", "--deep")


def test_an_interrupted_restore_goes_on_under_another_clock(lab: Lab) -> None:
    """What it restored may be long out of date for all that the clock tells: it begins anew."""
    point = lab.take()
    lab.fill("B")
    done = lab("restore", point, "--yes", code=None, kill=10_000)
    assert done.code == 0
    lab.fill("B")
    lab.killed("restore", point, "--yes", point=8, of=9, span=(1, len(done.trace)))
    lab("restore", point, "--yes", clock=-400 * DAY)
    assert lab.contents() == lab.expected("A")
    assert not lab.paths.restore_journal.exists()


@pytest.mark.parametrize("days", [-400.0, 400.0])
def test_a_lock_of_a_living_run_holds_and_one_of_a_dead_run_does_not(lab: Lab, days: float) -> None:
    """How old a lock looks says nothing: its process runs or does not. The other run is one of another project."""
    elsewhere = lab.folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    (elsewhere / "ragops.yaml").write_text(f"name: other\nbackup: {{repository: {lab.repositories[0]}}}\n")
    prune = ("backup", "prune", "--json")
    with lab.paused("backup", "run", at="os.rename .*rag.dump", code=0):
        second = lab.beside(*prune, cwd=elsewhere, clock=days * DAY)
        assert second.code == 5, second.err
        assert "is in use by `ragops backup run`" in second.error["message"]
    with lab.paused("backup", "run", at="os.rename .*rag.dump") as ended:
        lab.driver.kill()
    assert ended[0].code == -9
    assert list((lab.repositories[0] / "default" / "locks").iterdir()), "else this test shows nothing"
    taken_at(lab, days)
    assert not lab.leftovers()
