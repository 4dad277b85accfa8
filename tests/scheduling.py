"""Which tests one worker of pytest-xdist runs together, and which of these groups begin first.

A group is a module, or a part of one: its tests share engines, and some follow one another. A group follows from the
node id alone, since the process that hands them out collects nothing. (`--dist loadgroup` of pytest-xdist 3.8 has no
groups under pytest 9.2: it puts their names into an attribute that node ids no longer come from.)
"""

from __future__ import annotations

import zlib

# What each group costs in seconds, by the last measurement (docs/testing.md). The longest begin first, else the last
# of them decides how long the run is; a module that is not here is short.
SECONDS: dict[str, int] = {}
# Modules whose tests need nothing of one another, and little that is shared: into how many groups each is split.
SPLIT: dict[str, int] = {}
FOLDERS = ("tests/integration/", "tests/contract/", "tests/cli/")


def group(nodeid: str) -> str:
    """The group of a test."""
    module = nodeid.partition("::")[0]
    if module.startswith("tests/docker/"):
        return "tests/docker"  # one engine serves them all
    if parts := SPLIT.get(module):
        return f"{module} {zlib.crc32(nodeid.encode()) % parts}"
    return module


def rank(nodeid: str) -> tuple[int, int]:
    """Where the group of a test stands in the queue."""
    module = nodeid.partition("::")[0]
    seconds = SECONDS.get(module, 0) // SPLIT.get(module, 1)
    folder = next((number for number, start in enumerate(FOLDERS) if module.startswith(start)), len(FOLDERS))
    return -seconds, folder
