"""Pulumi's host of dynamic providers, which ends when its engine does.

An engine that is killed leaves its plugins running for ever: no process is left to end them.
"""

from __future__ import annotations

import os
import runpy
import threading
import time

_POLL = 0.5


def _end_with(engine: int) -> None:
    while os.getppid() == engine:
        time.sleep(_POLL)
    os._exit(1)  # in the middle of a step too: the next run adopts what it started


def main() -> None:
    """Serve providers to the engine that started this process."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    runpy.run_module("pulumi.dynamic", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
