"""`python -m ragops.devserver.qdrant CONFIG.json` serves until SIGTERM or SIGINT."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

from ragops.devserver.qdrant import API_VERSION, configuration
from ragops.devserver.qdrant.app import make_app
from ragops.devserver.qdrant.storage import Storage
from ragops.errors import ExitCode, RagopsError

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonLines(logging.Formatter):
    """Time, level, logger, message, and whatever `extra=` brought."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        values = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info:
            values["exception"] = self.formatException(record.exc_info)
        return json.dumps(values, ensure_ascii=False, default=str)


def set_up() -> None:
    """Send everything to stderr, from level info on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("python_multipart").setLevel(logging.WARNING)


_GRACE_SECONDS = 15
_log = logging.getLogger("ragops.qdrant")


def main(arguments: list[str]) -> int:
    """Serve by the configuration file; returns the exit code."""
    set_up()
    if len(arguments) != 1:
        _log.error("usage: python -m ragops.devserver.qdrant CONFIG.json")
        return ExitCode.USAGE
    try:
        return _serve(configuration.load(Path(arguments[0])))
    except RagopsError as error:
        _log.error(error.message, extra={"code": error.code, "hint": error.hint})
        return error.exit_code


def _serve(config: configuration.EdgeConfig) -> int:
    keys = configuration.read_keys(config.api_key_file)
    storage = Storage(config.storage)
    storage.open()
    for name, why in storage.faults().items():
        _log.error("a collection could not be opened", extra={"collection": name, "why": why})
    _log.info("storage is open", extra={"collections": len(storage.collections), "api_version": API_VERSION})
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(storage, keys),
            host=config.host,
            port=config.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            timeout_keep_alive=75,
        )
    )
    server.run()
    return ExitCode.DONE if server.started else ExitCode.FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
