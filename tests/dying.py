"""A run in a process of its own that the kernel ends at one of its steps."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_RUN = "import pickle, sys; action, values = pickle.load(open(sys.argv[1], 'rb')); action(*values)"


def run_killed(folder: Path, action: Callable[..., Any], *values: Any) -> None:
    """Run a function of a module in another process, which has to end by SIGKILL."""
    handover = folder / "handover"
    handover.write_bytes(pickle.dumps((action, values)))
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run([sys.executable, "-c", _RUN, str(handover)], timeout=240, check=False, env=environment)
    assert done.returncode == -signal.SIGKILL


def die_at(when: str, target: Any, *names: str) -> None:
    """Have this process end `before NAME`, `in NAME` or `after NAME`, one of the functions `names` of `target`."""
    for name in names:
        setattr(target, name, _dying(when, name, getattr(target, name)))


def _dying(when: str, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def step(*arguments: Any, **named: Any) -> Any:
        if when == f"in {name}":
            threading.Timer(0.05, _die).start()
        if when == f"before {name}":
            _die()
        result = real(*arguments, **named)
        if when == f"after {name}":
            _die()
        return result

    return step


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
