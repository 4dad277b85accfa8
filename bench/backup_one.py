"""One service of a project into a recovery point, or back: seconds, sizes and memory of that alone, as JSON.

Started by bench/backup.py, a process for each measurement, so that its memory is that of this one thing.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

from ragops.config.load import load
from ragops.operations import backup, restore
from ragops.operations.restore_journal import RestoreJournal
from ragops.operations.session import Session


def warm_up() -> None:
    """Import what the work imports, so that its memory is not taken for the work's."""
    import pyrage  # noqa: F401
    import qdrant_edge  # noqa: F401

    import ragops.services.qdrant.restore
    import ragops.services.redis.scratch
    import ragops.services.timescaledb.backup  # noqa: F401


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def main() -> None:
    folder, service, what = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    os.chdir(folder)
    session = Session(load(folder / "ragops.yaml", None), "bench", lambda _text: None)
    platform, vault = session.platform(), session.vault()
    names = tuple(item.name for item in platform.services()) if service == "all" else (service,)
    warm_up()
    before, started = peak(), time.perf_counter()
    if what == "backup":
        point = backup.run(platform, vault, backup.BackupRequest(services=names)).point
    else:
        request = restore.RestoreRequest(services=names, safety=False)
        point = restore.restore(request, platform, vault, RestoreJournal(folder / "journal.json")).point
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "size": point.size, "plain": point.plain_size, "memory": peak() - before}))


if __name__ == "__main__":
    main()
