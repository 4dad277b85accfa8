"""Reads an RDB file with the engine's own checker: to its end and its checksum, in little memory, without a server."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from ragops.adapters import child
from ragops.errors import IntegrityError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.services.control import Control

_LIMIT = 3600.0
_INPUT = "/dev/stdin"
_OTHER_POINT = "use another recovery point: `ragops backup list`"


class Checker:
    """The engine's checker, which takes the file in blocks by `write`, the last one empty."""

    def __init__(self, tool: child.Fed) -> None:
        self.write = tool.write
        self._tool = tool

    def counts(self) -> dict[str, int]:
        """How many `keys` the file holds, and how many of them have a time to live (`expires`); waits for its end.

        Raises IntegrityError (rdb_unreadable).
        """
        try:
            said = self._tool.output()
        except RagopsError as error:
            if error.code != "tool_failed":
                raise
            what = f"the engine cannot read the RDB file: {error.message}"
            raise IntegrityError("rdb_unreadable", what, _OTHER_POINT) from error
        return counts_in(said)


@contextlib.contextmanager
def checker(control: Control, engine: str) -> Iterator[Checker]:
    """A checker that runs while the block does. Raises MissingError (engine_not_installed, disk_full)."""
    tool = f"{engine}-check-rdb"
    with control.bench() as bench, child.fed([*bench.tool(tool), _INPUT], os.environ, _LIMIT, name=tool) as fed:
        yield Checker(fed)


def counts_in(said: str) -> dict[str, int]:
    """What the checker found, as it prints it. Raises IntegrityError (rdb_unreadable) where it does not say."""
    found = {kind: int(number) for number, kind in re.findall(r"^\[info\] (\d+) (keys|expires)\b", said, re.MULTILINE)}
    if "RDB looks OK" not in said or len(found) != 2:
        last = "; ".join(line for line in said.splitlines() if "ERROR" in line or "rror" in line) or "no verdict"
        raise IntegrityError("rdb_unreadable", f"the engine cannot read the RDB file: {last}", _OTHER_POINT)
    return found
