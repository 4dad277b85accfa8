"""Damage of the data by the log of a server that does not come up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_STARTED, _SERVES = "is starting oO0OoO0OoO0Oo", "Ready to accept connections"
_DAMAGE = re.compile(
    r"Bad file format reading the append only file|Unexpected end of file reading the append only file"
    r"|Unrecoverable error reading the append only file|Unknown command '.*' reading the append only file"
    r"|Error reading the append only file|Unable to obtain the AOF file|AOF manifest file|FATAL AOF MANIFEST"
    r"|the truncated file is not the last file"
    r"|RDB ERROR DETECTED|Internal error in RDB reading|Short read or OOM loading DB|Wrong signature trying to load"
    r"|Check RDB returned error code 1|Fatal error loading the DB|its append-only files are not whole"
)


def in_log(lines: Iterable[str]) -> str:
    """Return the line of the last start that reports damage, empty without one or if the server serves in the end."""
    found = ""
    for line in lines:
        if _STARTED in line or _SERVES in line:
            found = ""
        elif not found and (matched := _DAMAGE.search(line)):
            found = line[matched.start() :].strip().partition(":")[0].partition(". You can")[0]
    return found
