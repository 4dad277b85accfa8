"""Logs as JSON, one object a line on stderr, each with the id of its request; never a secret, a token or a question."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import orjson

from ragops.adapters.trace_context import trace_id

request_id: ContextVar[str] = ContextVar("request_id", default="")

_LEVELS = {"WARNING": "warning", "ERROR": "error", "CRITICAL": "critical", "INFO": "info", "DEBUG": "debug"}


class JsonFormatter(logging.Formatter):
    """Formats records as lines of JSON, with the values that `log` received."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; a traceback becomes a list of lines."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": _LEVELS.get(record.levelname, record.levelname),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if identifier := request_id.get():
            line["request_id"] = identifier
        if trace := trace_id():
            line["trace_id"] = trace
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info).splitlines()
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:  # text that UTF-8 cannot hold, or a number that is too long
            return json.dumps(line, default=str)


def log(logger: logging.Logger, level: int, event: str, /, **fields: object) -> None:
    """Log `event`, a stable snake_case word, with its fields."""
    if not logger.isEnabledFor(level):
        return
    if identifier := request_id.get():
        fields = {"request_id": identifier, **fields}
    if trace := trace_id():
        fields = {"trace_id": trace, **fields}
    logger.log(level, event, extra={"fields": fields})


def configure() -> None:
    """Send every logger of the process, uvicorn's too, to stderr as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Nothing that is logged names them, and finding them out costs as much as the rest of a line (Python's logging
    # HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # One line for each call of a dependency would drown the rest.
    logging.getLogger("httpx").setLevel(logging.WARNING)
