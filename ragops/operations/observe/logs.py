"""The logs of services as one: read back as far as is asked, merged by time, followed."""

from __future__ import annotations

import queue
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.errors import MissingError, RagopsError, UsageError
from ragops.operations.observe.log_entries import LogEntry, parse
from ragops.services import refuse_unknown
from ragops.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ragops.operations.session import Session
    from ragops.runtimes.contract import LogLine, LogTail

LINES = 100
_MORE = 8  # times as many lines, if those that were read are not enough
_MOST = 4_000_000
_EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class LogQuery:
    """Which lines are wanted: at most `lines` from the end (None for all), since when, matching what.

    `with_probes`: those about health probes and scrapes that went well, too.
    """

    lines: int | None = LINES
    since: datetime | None = None
    pattern: re.Pattern[str] | None = None
    with_probes: bool = False

    def keeps(self, entry: LogEntry) -> bool:
        """Return whether the line is wanted; one without a time was written after the one before it."""
        if self.since and entry.time and entry.time < self.since:
            return False
        if entry.is_probe and not self.with_probes:
            return False
        return self.pattern is None or bool(self.pattern.search(entry.text))


@dataclass(frozen=True)
class Logs:
    """The lines of several services, oldest first."""

    services: tuple[str, ...]
    lines: tuple[LogEntry, ...]


def read_since(text: str, now: datetime | None = None) -> datetime:
    """Return the instant that `10m`, `2h`, `1d` or a time in ISO 8601 stands for. Raises UsageError (invalid_since)."""
    now = now or datetime.now(UTC)
    if ago := parse_duration(text):
        return now - ago
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        what = f"cannot read `--since {text}`: it is neither a span nor a time"
        hint = "give a span such as 30s, 10m, 2h or 1d, or a time such as 2026-11-29T04:00"
        raise UsageError("invalid_since", what, hint) from None
    return found.astimezone(UTC)


def read_pattern(text: str) -> re.Pattern[str]:
    """Return the regular expression. Raises UsageError (invalid_pattern)."""
    try:
        return re.compile(text)
    except re.error as error:
        what = f"cannot read `--grep {text}`: {error}"
        raise UsageError(
            "invalid_pattern", what, "give a regular expression, with \\ before signs of its own"
        ) from None


def read(session: Session, services: Sequence[str], query: LogQuery) -> Logs:
    """Return the wanted lines of these services, merged by time.

    Raises UsageError (unknown_service), MissingError (not_provisioned, no_log) if none of them has a log.
    """
    return _Reader(session, services, query).logs


def follow(session: Session, services: Sequence[str], query: LogQuery) -> Iterator[LogEntry]:
    """Yield what `read` returns, then wanted lines as they are written, until the caller stops."""
    reader = _Reader(session, services, query)
    yield from reader.logs.lines
    lines: queue.SimpleQueue[LogEntry | RagopsError] = queue.SimpleQueue()
    for service, tail in reader.tails.items():
        threading.Thread(target=_pump, args=(service, tail, lines), daemon=True).start()
    while True:
        found = lines.get()
        if isinstance(found, RagopsError):
            raise found
        if query.keeps(found):
            yield found


class _Reader:
    """Reads the end of each log, and more of it if that is not enough."""

    def __init__(self, session: Session, services: Sequence[str], query: LogQuery) -> None:
        refuse_unknown(services)
        self._session = session
        self._query = query
        self.tails: dict[str, LogTail] = {}
        found: list[LogEntry] = []
        names = tuple(dict.fromkeys(services))
        for service in names:
            found += self._read(service)
        if not self.tails:
            session.endpoints()  # raises before the first `up`
            what = f"cannot show the log of {', '.join(names)}: nothing was written yet"
            raise MissingError("no_log", what, "see `ragops status`")
        found.sort(key=lambda entry: entry.time or _EARLIEST)  # stable: lines of one instant stay in order
        self.logs = Logs(names, tuple(found if query.lines is None else found[len(found) - query.lines :]))

    def _read(self, service: str) -> list[LogEntry]:
        query, count = self._query, LINES if self._query.lines is None else self._query.lines
        while True:
            tail = self._session.host.read_log(service, count)
            if tail is None:
                return []
            self.tails[service] = tail
            entries = _entries(service, tail.lines)
            wanted = [entry for entry in entries if query.keeps(entry)]
            first = next((entry.time for entry in entries if entry.time), None)
            is_whole = len(tail.lines) < count or bool(query.since and first and first < query.since)
            if is_whole or (query.lines is not None and len(wanted) >= query.lines) or count >= _MOST:
                return wanted if query.lines is None else wanted[len(wanted) - min(query.lines, len(wanted)) :]
            count *= _MORE


def _entries(service: str, lines: Iterable[LogLine]) -> list[LogEntry]:
    """Return the lines, each without a time with that of the line before it."""
    found: list[LogEntry] = []
    last: dict[str, datetime | None] = {}
    for line in lines:
        entry = parse(service, line.instance, line.text, line.time)
        if entry.time is None and last.get(line.instance):
            entry = parse(service, line.instance, line.text, last[line.instance])
        last[line.instance] = entry.time
        found.append(entry)
    return found


def _pump(service: str, tail: LogTail, into: queue.SimpleQueue[LogEntry | RagopsError]) -> None:
    try:
        for line in tail.follow():
            into.put(parse(service, line.instance, line.text, line.time))
    except RagopsError as error:
        into.put(error)
