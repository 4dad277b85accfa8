"""The ingest put into cron or systemd every so many minutes, looked at, and taken out again."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ragops.errors import UsageError
from ragops.operations.schedule import scheduler_files as texts
from ragops.operations.schedule.entries import Entry
from ragops.render import render

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.operations.schedule.scheduler_files import Schedule

# What divides an hour or a day: cron counts within one, and would begin again in the middle of another interval.
_MINUTES, _HOURS = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30), (1, 2, 3, 4, 6, 8, 12)
_WORDS = ("schedule", "ingest")
_TIMES = (
    re.compile(r"^\*/(\d{1,2}) \* \* \* \* |^OnCalendar=\*-\*-\* \*:00/(\d{1,2}):00$", re.MULTILINE),
    re.compile(r"^0 \*/(\d{1,2}) \* \* \* |^OnCalendar=\*-\*-\* 00/(\d{1,2}):00:00$", re.MULTILINE),
)


def parse_interval(text: str) -> int | None:
    """Return the minutes of `15m` or `2h`, None for "none". Raises UsageError (invalid_interval)."""
    if text.lower() == "none":
        return None
    found = re.fullmatch(r"([0-9]{1,4})(m|min|h)", text.lower())
    minutes = int(found[1]) * (60 if found[2] == "h" else 1) if found else 0
    if minutes in _MINUTES or (minutes % 60 == 0 and minutes // 60 in _HOURS):
        return minutes
    known = [*(f"{one}m" for one in _MINUTES), *(f"{one}h" for one in _HOURS), "none"]
    raise UsageError("invalid_interval", f"cannot ingest every {text!r}", f"take one of: {', '.join(known)}")


def make_entry(environment: str, config: Path) -> Entry:
    """Return the entry of one environment."""
    return Entry(_mark(environment, config), "ingest", "ragops schedule", "the ingest", texts.LINGERING)


def render_block(schedule: Schedule) -> str:
    """Return the lines for a crontab, with marks around them. Raises UsageError (path_not_schedulable)."""
    texts.check_paths(schedule, "\\")
    begin, end = texts.format_block_marks(_mark(schedule.environment, schedule.config))
    hours, minutes = divmod(schedule.interval, 60)
    fields = f"0 */{hours} * * *" if hours else f"*/{minutes} * * * *"
    command = texts.quote_for_cron(texts.build_command(schedule, *_WORDS))
    return render("schedule/crontab-ingest.j2", begin=begin, end=end, fields=fields, command=command)


def render_units(schedule: Schedule, *, system: bool) -> dict[str, str]:
    """Return the texts of service and timer by name; `system`: root's own. Raises UsageError (path_not_schedulable)."""
    texts.check_program(schedule)
    hours, minutes = divmod(schedule.interval, 60)
    calendar = f"*-*-* 00/{hours}:00:00" if hours else f"*-*-* *:00/{minutes}:00"
    mark = _mark(schedule.environment, schedule.config)
    return texts.render_pair(schedule, "-ingest", "Ingest", _WORDS, calendar, mark=mark, system=system)


def find_next_run(text: str, now: datetime) -> datetime | None:
    """Return the next run by a block or unit, in the zone of `now`; None if its time was changed by hand."""
    for unit, pattern in zip((1, 60), _TIMES, strict=True):
        if (found := pattern.search(text)) and (minutes := int(found[1] or found[2]) * unit):
            today = now.replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
            passed = (now.replace(tzinfo=None) - today) // timedelta(minutes=minutes)
            return (today + (passed + 1) * timedelta(minutes=minutes)).astimezone()
    return None


def _mark(environment: str, config: Path) -> str:
    return f"ragops ingest schedule: {environment} {config}"
