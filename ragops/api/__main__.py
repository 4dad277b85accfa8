"""`python -m ragops.api CONFIG.json`: serves until SIGTERM or SIGINT, then lets running requests end."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from ragops.api import logs
from ragops.api.config import load
from ragops.errors import ExitCode, RagopsError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ragops.api.config import ApiConfig

_CONFIG = "RAGOPS_API_CONFIG"
_GRACE_SECONDS = 15
# Longer than any gateway keeps an idle connection (60 s): who closes first must not be the one that is asked next.
_KEEP_ALIVE_SECONDS = 75
_LOG = logging.getLogger("ragops.api")


def main(arguments: list[str]) -> int:
    """Serve; the exit code states whether it could."""
    logs.configure()
    if len(arguments) != 1:
        logs.log(_LOG, logging.ERROR, "usage", usage="python -m ragops.api CONFIG.json")
        return ExitCode.USAGE
    try:
        _serve(arguments[0], load(Path(arguments[0])))
    except RagopsError as error:
        logs.log(_LOG, logging.ERROR, error.code, detail=error.message, hint=error.hint)
        return int(error.exit_code)
    return 0


def worker() -> FastAPI:
    """Return the application of one worker process."""
    from ragops.api.app import create_app

    logs.configure()
    return create_app(load(Path(os.environ[_CONFIG])))


def _serve(path: str, config: ApiConfig) -> None:
    os.environ[_CONFIG] = path
    if config.workers == 1:
        # Report faults of the configuration here, not as a traceback from inside the server.
        worker()
        _run(config)
        return
    with tempfile.TemporaryDirectory(prefix="ragops-api-metrics-") as counts:
        # Read by prometheus_client when it is first imported, which the workers do.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = counts
        _run(config)


def _run(config: ApiConfig) -> None:
    uvicorn.run(
        "ragops.api.__main__:worker",
        factory=True,
        host=config.listen.host,
        port=config.listen.port,
        workers=config.workers,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
