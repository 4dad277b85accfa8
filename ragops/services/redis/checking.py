"""Reads an RDB file with the engine's own checker: to its end and its checksum, in little memory, without a server."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ragops.adapters import child
from ragops.errors import IntegrityError, RagopsError

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.services.contract import Control

_LIMIT = 3600.0
_RDB = "dump.rdb"
_OTHER_POINT = "use another recovery point: `ragops backup list`"


def count(control: Control, engine: str, rdb: Path) -> dict[str, int]:
    """How many `keys` the file holds, and how many of them have a time to live (`expires`).

    Raises IntegrityError (rdb_unreadable), MissingError (engine_not_installed, disk_full).
    """
    with control.bench() as bench:
        bench.put(rdb, _RDB)
        command = [*bench.tool(f"{engine}-check-rdb"), f"{bench.folder}/{_RDB}"]
        try:
            said = child.output(command, os.environ, _LIMIT, name=f"{engine}-check-rdb")
        except RagopsError as error:
            if error.code != "tool_failed":
                raise
            what = f"the engine cannot read the RDB file: {error.message}"
            raise IntegrityError("rdb_unreadable", what, _OTHER_POINT) from error
    return counts_in(said)


def counts_in(said: str) -> dict[str, int]:
    """What the checker found, as it prints it. Raises IntegrityError (rdb_unreadable) where it does not say."""
    found = {kind: int(number) for number, kind in re.findall(r"^\[info\] (\d+) (keys|expires)\b", said, re.MULTILINE)}
    if "RDB looks OK" not in said or len(found) != 2:
        last = "; ".join(line for line in said.splitlines() if "ERROR" in line or "rror" in line) or "no verdict"
        raise IntegrityError("rdb_unreadable", f"the engine cannot read the RDB file: {last}", _OTHER_POINT)
    return found
