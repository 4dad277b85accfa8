"""Which tests one worker of pytest-xdist runs together, and which of these groups begin first.

A group is a module, or a part of one: its tests share engines, and some follow one another. A group follows from the
node id alone, since the process that hands them out collects nothing. (`--dist loadgroup` of pytest-xdist 3.8 has no
groups under pytest 9.2: it puts their names into an attribute that node ids no longer come from.)
"""

from __future__ import annotations

# What the longest groups cost in seconds of processor time, roughly (`make test ARGS=--durations=50` shows who has
# grown). They begin first, else the last of them decides how long the run is; what is not here is short.
SECONDS = {
    "tests/integration/conftest.py loaded": 190,
    "tests/cli/test_docs.py examples": 90,
    "tests/integration/test_interrupts.py": 100,
    "tests/integration/test_lifecycle.py": 90,
    "tests/integration/test_lost_data.py": 70,
    "tests/integration/test_data_taken_away.py": 60,
    "tests/integration/test_pulumi_state.py": 60,
    "tests/cli/test_bad_input.py": 70,
    "tests/integration/faults/test_killed_restore.py": 70,
    "tests/integration/test_qdrant_edge.py": 60,
    "tests/integration/conftest.py stack": 50,
    "tests/integration/faults/test_dying_engines.py": 50,
    "tests/integration/faults/test_broken_platform.py": 45,
    "tests/integration/stores/test_contract.py": 45,
    "tests/integration/stores/test_append_only.py": 45,
    "tests/integration/faults/test_full_disk.py": 40,
    "tests/integration/faults/test_repository_gone.py": 35,
    "tests/integration/faults/test_killed_backup.py": 30,
    "tests/integration/faults/test_clock.py": 30,
}
FOLDERS = ("tests/integration/", "tests/contract/", "tests/cli/")
# Tests that need nothing of the rest of their module, and begin first.
_PARTS = {
    "tests/cli/test_docs.py": {"test_every_example_runs": "examples"},
}
# Modules that share what takes long to start, by the name of its fixture: one worker makes one of it.
_SHARING = {
    "tests/integration/test_api.py": "stack",
    "tests/integration/test_quiesce.py": "stack",
    "tests/integration/test_boot.py": "loaded",
    "tests/integration/test_drill.py": "loaded",
    "tests/integration/test_fresh_answers.py": "loaded",
    "tests/integration/test_recover.py": "loaded",
    "tests/integration/test_secrets.py": "loaded",
    "tests/integration/test_watch.py": "loaded",
}


def group(nodeid: str) -> str:
    """The group of a test."""
    module, _, name = nodeid.partition("::")
    if module.startswith("tests/docker/"):
        return "tests/docker"  # one engine serves them all
    if module in _SHARING:
        return f"tests/integration/conftest.py {_SHARING[module]}"
    part = _PARTS.get(module, {}).get(name.partition("[")[0])
    return f"{module} {part}" if part else module


def rank(nodeid: str) -> tuple[int, int]:
    """Where the group of a test stands in the queue."""
    folder = next((number for number, start in enumerate(FOLDERS) if nodeid.startswith(start)), len(FOLDERS))
    return -SECONDS.get(group(nodeid), 0), folder
