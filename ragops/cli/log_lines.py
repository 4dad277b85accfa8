"""Lines of logs in columns that do not change while they are followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ragops.cli.console import Console
    from ragops.operations.observe.log_entries import LogEntry

_INSTANCE = 12  # columns: `qdrant-1`, `timescaledb`
_LEVEL = 8


def show(console: Console, entries: Iterable[LogEntry]) -> None:
    """Print entries, a line each and one more for each line of a traceback."""
    for entry in entries:
        console.text(as_line(entry))


def as_line(entry: LogEntry) -> str:
    """Return an entry as time, instance, level, status, duration and message; the time is that of this machine."""
    time = entry.time.astimezone().isoformat(" ", "milliseconds")[:23] if entry.time else ""
    status = str(entry.status or "")
    duration = "" if entry.milliseconds is None else f"{entry.milliseconds:.1f} ms"
    head = f"{time:<23}  {entry.instance:<{_INSTANCE}}  {entry.level:<{_LEVEL}}  {status:>3}  {duration:>10}  "
    traceback = entry.fields.get("traceback")
    more = [f"{name}={_value(value)}" for name, value in entry.fields.items() if name != "traceback"]
    ids = {"request_id": entry.request_id, "trace_id": entry.trace_id}
    if not entry.text.lstrip().startswith("{") and entry.message != "request":
        more = []  # an engine's own words hold them already
    words = [entry.message, *more, *(f"{name}={value}" for name, value in ids.items() if value)]
    below = [f"    {line}" for line in traceback] if isinstance(traceback, list) else []
    return "\n".join([head + " ".join(words), *below])


def _value(value: object) -> str:
    text = str(value)
    return repr(text) if " " in text else text
