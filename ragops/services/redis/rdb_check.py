"""Checks an RDB file with the engine's own tool: to its end and its checksum, in little memory, without a server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ragops.errors import IntegrityError, RagopsError
from ragops.hints import OTHER_POINT

if TYPE_CHECKING:
    from ragops.services.stream_check import StreamCheck


def check_command(engine: str) -> tuple[str, ...]:
    """Return the command of the tool, which reads the file from its input."""
    return (f"{engine}-check-rdb", "/dev/stdin")


def read_counts(check: StreamCheck) -> dict[str, int]:
    """How many `keys` the file holds, and how many of them have a time to live (`expires`); waits for its end.

    Raises IntegrityError (rdb_unreadable), and what the check raises.
    """
    try:
        (said,) = check.outputs()
    except RagopsError as error:
        if error.code != "tool_failed":
            raise
        what = f"cannot read the RDB file: {error.message}"
        raise IntegrityError("rdb_unreadable", what, OTHER_POINT) from error
    return counts_in(said)


def counts_in(said: str) -> dict[str, int]:
    """Return the counts that the tool prints. Raises IntegrityError (rdb_unreadable) without them."""
    found = {kind: int(number) for number, kind in re.findall(r"^\[info\] (\d+) (keys|expires)\b", said, re.MULTILINE)}
    if "RDB looks OK" not in said or len(found) != 2:
        last = "; ".join(line for line in said.splitlines() if "ERROR" in line or "rror" in line) or "no verdict"
        raise IntegrityError("rdb_unreadable", f"cannot read the RDB file: {last}", OTHER_POINT)
    return found
