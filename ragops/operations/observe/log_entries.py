"""A line of a log as its service wrote it, taken apart: JSON, logfmt, and the formats of the engines."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBED = frozenset({"/healthz", "/readyz", "/livez", "/metrics", "/stats/prometheus", "/-/healthy", "/-/ready"})
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_VALKEY = re.compile(
    r"\d+:[XCSM] (?P<time>\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d\.\d{3}) (?P<level>[.\-*#]) (?P<message>.*)"
)
_POSTGRES = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) UTC \[\d+\] "
    r"(?:\S*@\S* )?(?P<level>[A-Z]+[1-5]?): +(?P<message>.*)"
)
_QDRANT = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z) +(?P<level>TRACE|DEBUG|INFO|WARN|ERROR) (?P<message>.*)")
_NGINX = re.compile(r"(?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[(?P<level>\w+)\] (?P<message>.*)")
_ACCESS = re.compile(r'"(?P<method>[A-Z]+) (?P<path>[^ ?"]+)[^"]*" (?P<status>\d{3})\b.*?(?P<seconds> \d+\.\d+)?$')
_LOGFMT = re.compile(r'(?P<key>[A-Za-z_][\w.]*)=(?P<value>"(?:[^"\\]|\\.)*"|\S*)(?: |$)')
_LEVELS = {
    ".": "debug", "-": "info", "*": "info", "#": "warning", "log": "info", "warn": "warning", "notice": "info",
    "fatal": "critical", "panic": "critical", "err": "error", "crit": "critical", "trace": "debug", "detail": "info",
    "hint": "info", "statement": "info", "context": "info", "eror": "error", "access": "info",
}  # fmt: skip
_OWN = frozenset({
    "time", "t", "ts", "level", "lvl", "message", "msg", "request_id", "trace_id", "status", "ms", "milliseconds",
    "seconds", "logger", "source", "caller", "span_id",
})  # fmt: skip


@dataclass(frozen=True)
class LogEntry:
    """One line of a log. `time` is None if neither the line nor its runtime has one; `milliseconds` is a duration.

    `fields` is what the line has beyond that, `text` the line as it was written.
    """

    time: datetime | None
    service: str
    instance: str
    level: str
    message: str
    text: str
    request_id: str = ""
    trace_id: str = ""
    status: int | None = None
    milliseconds: float | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_probe(self) -> bool:
        """Whether it is about a health probe or a scrape that went well."""
        return self.fields.get("path") in PROBED and (self.status or 200) < 400


def parse(service: str, instance: str, text: str, written: datetime | None = None) -> LogEntry:
    """Take a line apart; `written` is the runtime's time of it, which counts more than that in the line."""
    plain = _COLOURS.sub("", text)
    values = _as_json(plain) if plain.startswith("{") else _as_logfmt(plain)
    if values is None:
        values = _by_pattern(plain)
    time = written or _time(values.get("time") or values.get("t") or values.get("ts"))
    level = str(values.get("level") or values.get("lvl") or "").lower()
    message = str(values.get("message") or values.get("msg") or "")
    return LogEntry(
        time=time,
        service=service,
        instance=instance,
        level=_LEVELS.get(level, level),
        message=message or (plain.startswith("{") and _request_line(values)) or plain,
        text=text,
        request_id=_word(values.get("request_id")),
        trace_id=_word(values.get("trace_id")),
        status=_status(values.get("status")),
        milliseconds=_milliseconds(values),
        fields={name: value for name, value in values.items() if name not in _OWN and value not in (None, "", "-")},
    )


def _as_json(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _as_logfmt(text: str) -> dict[str, Any] | None:
    """Return the values of `key=value …`, None if there is anything else in the line."""
    found: dict[str, Any] = {}
    position = 0
    while position < len(text):
        pair = _LOGFMT.match(text, position)
        if pair is None:
            return None
        value = pair["value"]
        found[pair["key"]] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        position = pair.end()
    return found if {"level", "lvl"} & found.keys() else None


def _by_pattern(text: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pattern in (_VALKEY, _POSTGRES, _QDRANT, _NGINX):
        if found := pattern.match(text):
            values = found.groupdict()
            break
    if access := _ACCESS.search(values.get("message") or text):
        values |= {name: value for name, value in access.groupdict().items() if value is not None}
    return values


def _request_line(values: Mapping[str, Any]) -> str:
    return "request" if "path" in values else ""


def _time(value: object) -> datetime | None:
    """Return the time; those of Valkey have no zone and are local, all others without one are UTC."""
    if not isinstance(value, str) or not value:
        return None
    try:
        if value[0].isdigit() and value[4:5] in "-/":
            found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value.replace("/", "-")))
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        return datetime.strptime(value, "%d %b %Y %H:%M:%S.%f").astimezone()
    except ValueError:
        return None


def _word(value: object) -> str:
    return value if isinstance(value, str) and value != "-" else ""


def _status(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) == 3 else None


def _milliseconds(values: Mapping[str, Any]) -> float | None:
    for name, factor in (("ms", 1), ("milliseconds", 1), ("seconds", 1000)):
        try:
            if name in values:
                return round(float(values[name]) * factor, 3)
        except (TypeError, ValueError):
            continue
    return None
