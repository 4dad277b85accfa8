"""Doctor's checks by what they raise."""

from ragops.errors import MissingError
from ragops.runtimes.checks import run_check
from ragops.services.contract import Check, Status


def test_a_check_is_fine_unless_something_raises() -> None:
    def fail() -> str:
        raise MissingError("disk_full", "no space is left", "free some")

    assert run_check("disk", lambda: "1 GiB free") == Check("disk", Status.OK, "1 GiB free")
    assert run_check("disk", fail) == Check("disk", Status.DOWN, "no space is left", "free some")
