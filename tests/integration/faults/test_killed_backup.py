"""A backup killed at points spread over all that it does: what is listed is whole, and the next run clears the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.faults.lab import Lab

pytestmark = [pytest.mark.fault]

POINTS = 24
DEEP = 6  # every so many kills the engines read what is listed, too
RUN = ("backup", "run")


@pytest.fixture(scope="module")
def total(package_lab: Lab) -> int:
    """Side effects of a backup that nobody kills, copy and manifests included; its recovery point stays."""
    package_lab.renew()
    package_lab.fill("A")
    done = package_lab(*RUN)
    assert len(done.trace) > 150, "else the points lie far apart"
    return len(done.trace)


@pytest.fixture(scope="module")
def verified() -> set[tuple[str, str]]:
    """Copies that were found whole: one of them once is enough until the end."""
    return set()


def everything_listed_is_whole(lab: Lab, verified: set[tuple[str, str]], *, deep: bool) -> None:
    """Every copy of every recovery point that anybody is shown."""
    listed = lab.listed()
    for number, repository in enumerate(map(str, lab.repositories), 1):
        for point in listed:
            whole = point["copies"].get(repository)
            assert whole is not False, f"{point['id']} is shown and damaged"
            if whole and ((point["id"], repository) not in verified or (deep and point is listed[0])):
                options = ("--deep",) if deep and point is listed[0] else ()
                lab("backup", "verify", point["id"], "--repository", str(number), *options)
                verified.add((point["id"], repository))


@pytest.mark.campaign(sample=3)
@pytest.mark.parametrize("point", range(1, POINTS + 1))
def test_what_is_listed_after_a_kill_is_whole(
    package_lab: Lab, total: int, verified: set[tuple[str, str]], point: int
) -> None:
    """The kills follow one another without a run between them that could clear up."""
    lab = package_lab
    where = lab.killed(*RUN, point=point, of=POINTS, span=(1, total))
    try:
        everything_listed_is_whole(lab, verified, deep=point % DEEP == 0)
        assert lab.contents() == lab.expected("A"), "a backup changes nothing"
    except AssertionError as error:
        error.add_note(f"killed before {where}")
        raise


@pytest.mark.campaign
def test_the_run_after_all_kills_is_whole_and_clears_up(package_lab: Lab, total: int) -> None:
    lab = package_lab
    done = lab(*RUN, "--json").json()
    left = lab.leftovers()
    assert not left, "\n".join(left)
    everything_listed_is_whole(lab, set(), deep=True)
    newest = lab.listed()[0]
    assert newest["id"] == done["id"]
    assert all(newest["copies"].values()), newest["copies"]
    lab.fill("B")
    lab("restore", "latest", "--yes", "--no-safety", "--repository", "2")
    assert lab.contents() == lab.expected("A")
    assert lab.leftovers() == []
