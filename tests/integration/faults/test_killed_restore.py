"""A restore killed at points spread over all that it does: no store is ever without its old or its new contents."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.integration.faults.lab import NAMES

if TYPE_CHECKING:
    from tests.integration.faults.lab import Lab

pytestmark = [pytest.mark.fault]

BEFORE, AFTER = 8, 16  # points before and after it begins to replace anything
BACK = 6  # every so many kills the way back is gone, too
NARROW = {
    "the first database has its new name": r"sql .*ALTER DATABASE.*RENAME.*'rag'\)",
    "both have": r"sql end of transaction",
    "valkey is down": r"os.mkdir .*redis\.new$",
    "the new data are ready": r"os.rename .*redis .*redis\.before-restore",
    "the old data are aside": r"os.rename .*redis\.ready",
    "the new data are in place": r"start .*exec_wrapper\.py.*valkey",
    "a collection is gone": r"http PUT /collections/books$",
    "a collection is empty": r"http POST /collections/books/.*upload",
    "a collection is back without its alias": r"http POST /collections/aliases",
    "only the aliases are missing": r"http DELETE /collections/notes__ragops-restore",
    "all is done but the note of it": r"os.remove .*/restore\.json",
}


@pytest.fixture(scope="module")
def spans(package_lab: Lab, point_a: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Side effects of a restore that nobody kills: those until it notes that it begins, and the rest."""
    package_lab.fill("B")
    done = package_lab("restore", point_a, "--yes")
    assert package_lab.contents() == package_lab.expected("A")
    assert len(done.trace) > 250, "else the points lie far apart"
    begins = next(number for number, what in enumerate(done.trace) if "/.restore.json." in what)
    return (1, begins), (begins, len(done.trace))


@pytest.mark.campaign(sample=3)
@pytest.mark.parametrize("point", range(1, BEFORE + AFTER + 1))
def test_killed_and_run_again(
    changed: Lab, point_a: str, spans: tuple[tuple[int, int], tuple[int, int]], point: int
) -> None:
    command = ("restore", point_a, "--yes")
    if point <= BEFORE:
        where = changed.killed(*command, point=point, of=BEFORE, span=spans[0])
    else:
        where = changed.killed(*command, point=point - BEFORE, of=AFTER, span=spans[1])
    try:
        goes_on(changed, point_a, start=bool(point % 2), back=point % BACK == 0)
    except AssertionError as error:
        error.add_note(f"killed before {where}")
        raise


@pytest.mark.campaign(sample=3)
@pytest.mark.parametrize("moment", NARROW)
def test_killed_where_it_is_narrow(changed: Lab, point_a: str, moment: str) -> None:
    """Between the steps in which new contents take the place of the old ones."""
    with changed.paused("restore", point_a, "--yes", at=NARROW[moment]) as ended:
        changed.driver.kill()
    assert ended[0].code == -signal.SIGKILL
    goes_on(changed, point_a, start=True)


def goes_on(lab: Lab, point: str, *, start: bool, back: bool = False) -> None:
    """Every store has its old or its new contents; the same command completes; there is a way back.

    What is down is started before that, or left to the restore.
    """
    if start:
        lab.start()
    for name in NAMES:
        if lab.runs(name):
            assert lab.old_or_new(name, old="B", new="A"), f"{name} has neither its old nor its new contents"
    lab("restore", point, "--yes")
    assert lab.contents() == lab.expected("A")
    assert not lab.leftovers()
    assert not lab.paths.restore_journal.exists()
    safety = [item["id"] for item in lab.listed() if item["kind"] == "safety"]
    assert safety, "there is no way back"
    if back:
        lab("restore", safety[-1], "--yes", "--no-safety")
        assert lab.contents() == lab.expected("B"), "the first way back is that to the contents from before"
