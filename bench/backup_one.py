"""One service of a project into a recovery point, or back: seconds, sizes and memory of that alone, as JSON.

Started by bench/backup.py, a process for each measurement, so that its memory is that of this one thing.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

from ragops.config.load import load
from ragops.operations.backup import create
from ragops.operations.records.restore_journal import RestoreJournal
from ragops.operations.restore import restore
from ragops.operations.session import Session


def warm_up() -> None:
    """Import what the work imports, so that its memory is not taken for the work's."""
    import docker  # noqa: F401
    import pyrage  # noqa: F401
    import qdrant_edge  # noqa: F401

    import ragops.services.qdrant.backup.backup
    import ragops.services.redis.scratch_server
    import ragops.services.timescaledb.backup.backup  # noqa: F401


class Memory:
    """The most memory of its own that this process takes inside the block, in bytes, above what it had.

    Files that are mapped do not count: the kernel takes their pages back when it needs them. Looked at 50 times a second.
    """

    def __enter__(self) -> Memory:
        self._over, self._before = threading.Event(), _own()
        self._most = self._before
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self._most = max(self._most, _own())

    @property
    def above(self) -> int:
        return self._most - self._before


def _own() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


def main() -> None:
    folder, service, what = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    os.chdir(folder)
    session = Session(load(folder / "ragops.yaml", None), "bench", lambda _text: None)
    platform, repos = session.platform(), session.repositories()
    names = tuple(item.name for item in platform.services()) if service == "all" else (service,)
    warm_up()
    started = time.perf_counter()
    with Memory() as memory:
        if what == "backup":
            point = create.run(platform, repos, create.BackupRequest(services=names)).point
        else:
            request = restore.RestoreRequest(services=names, safety=False)
            point = restore.restore(request, platform, repos, RestoreJournal(folder / "journal.json")).point
        seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "size": point.size, "plain": point.plain_size, "memory": memory.above}))


if __name__ == "__main__":
    main()
