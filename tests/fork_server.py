"""Runs command lines of ragops in forks of a process that has imported everything once: a twentieth of the start.

A fork is as much a process of its own as `python -m ragops` is: arguments, folder, environment, exit code, both
outputs, and its end with all that Python does then. What differs: modules are imported already. Reads a request a line,
`{"arguments": …, "cwd": …, "env": …, "out": …, "err": …}`, answers with the pid, then with the exit code.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

_ROOTS = ("adapters", "config", "recovery", "services", "runtimes", "operations", "ingest", "cli")
_ALSO = ("httpx", "psycopg", "redis", "yaml", "jinja2", "zstandard", "pyrage", "rich.table", "cryptography.x509")
# Their import takes as long as all others together, and few commands need them.
_LEFT_OUT = ("pulumi_docker", "trafilatura", "paramiko")
# NumPy's library starts a thread for each other processor, of which a fork would be without.
os.environ["OPENBLAS_NUM_THREADS"] = "1"


def _import_all() -> None:
    import ragops

    for name in _LEFT_OUT:
        sys.modules[name] = None  # type: ignore[assignment]
    for root in _ROOTS:
        for found in pkgutil.walk_packages([str(Path(ragops.__path__[0]) / root)], f"ragops.{root}."):
            if not found.name.endswith("__main__"):
                with contextlib.suppress(ImportError):
                    importlib.import_module(found.name)
    for name in _ALSO:
        importlib.import_module(name)
    for name in _LEFT_OUT:
        del sys.modules[name]
    from ragops.cli.app import app

    assert app.tree.commands  # made here, else each fork would make it again
    assert threading.active_count() == 1, threading.enumerate()
    tasks = Path("/proc/self/task")
    assert not tasks.exists() or len(list(tasks.iterdir())) == 1, "a library has started a thread"


def _become(request: dict[str, Any]) -> int:
    """One command line, in this fork."""
    from ragops.cli.main import run

    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    for number, path in enumerate((os.devnull, request["out"], request["err"])):
        opened = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = ["ragops", *request["arguments"]]
    sys.path[0] = request["cwd"]  # as `python -m` has it
    return run(request["arguments"])


def _leave(code: int) -> NoReturn:
    """End as Python ends, but for the modules that it takes apart: a tenth of a second for nothing."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = 120  # as Python has it
    os._exit(code)


def main() -> int:
    """Until there is nothing more to do; a fork never comes back here."""
    answers = os.fdopen(os.dup(1), "w")
    _import_all()
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            answers.close()
            _leave(_become(json.loads(line)))
        answers.write(f"{child}\n")
        answers.flush()
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
