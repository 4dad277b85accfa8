"""What cron and systemd read: crontab blocks, unit files and the commands in them. No I/O."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ragops.errors import RagopsError, UsageError
from ragops.render import render

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# The note for a user whose systemd ends with their session.
LINGERING = "it runs only while you are logged in; `loginctl enable-linger` lets it run always"

WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")  # as cron counts them

_NIGHTLY, _DRILL = ("backup", "scheduled"), ("backup", "drill", "latest")
_DRILL_LATER = 120  # minutes after the nightly run, so that the newest recovery point is that night's
_CRON_LINE = re.compile(r"^(\d{1,2}) (\d{1,2}) \* \* \* ", re.MULTILINE)
_CALENDAR_LINE = re.compile(r"^OnCalendar=\*-\*-\* (\d{2}):(\d{2}):00$", re.MULTILINE)


@dataclass(frozen=True)
class Schedule:
    """The runs of one environment: nightly at `minute` after midnight, `drill` a weekday (0 is Sunday) or None.

    `interval` are the minutes between two ingests, whole hours if there are 60 or more. `python` is the interpreter
    that has this ragops, `config` the absolute path of ragops.yaml.
    """

    name: str
    environment: str
    config: Path
    python: str
    minute: int = 120
    drill: int | None = None
    interval: int = 0


def parse_time(text: str) -> int:
    """Minutes after midnight of HH:MM. Raises UsageError (invalid_time)."""
    found = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", text)
    if not found:
        raise UsageError("invalid_time", f"{text!r} is not a time of day", "use HH:MM, from 00:00 to 23:59")
    return int(found[1]) * 60 + int(found[2])


def parse_weekday(text: str) -> int | None:
    """Parse a weekday as cron counts it, None for "none". Raises UsageError (invalid_weekday)."""
    word = text.lower()
    if word == "none":
        return None
    for number, name in enumerate(WEEKDAYS):
        if word in (name, name[:3]):
            return number
    raise UsageError("invalid_weekday", f"{text!r} is not a weekday", f"use one of {', '.join(WEEKDAYS)}, or none")


def build_command(schedule: Schedule, *words: str) -> tuple[str, ...]:
    """Return a ragops command line for this environment that needs no variable of the calling one."""
    # -P: cron starts in the home folder, and a folder there that is named ragops must not be taken for this one.
    options = ("--config", str(schedule.config), "--env", schedule.environment, "--quiet")
    return (schedule.python, "-P", "-m", "ragops", *options, *words)


def format_schedule_mark(environment: str, config: Path) -> str:
    """Return the one-line mark that distinguishes the schedule of one environment from every other."""
    return f"ragops backup schedule: {environment} {config}"


# --- cron ------------------------------------------------------------------------------------------------------------


def render_cron_block(schedule: Schedule) -> str:
    """Return the lines for a crontab, with marks around them. Raises UsageError (path_not_schedulable)."""
    check_paths(schedule, "\\")  # implementations of cron differ in what they make of it
    begin, end = format_block_marks(format_schedule_mark(schedule.environment, schedule.config))
    hour, minute = divmod(schedule.minute, 60)
    command, drill = quote_for_cron(build_command(schedule, *_NIGHTLY)), None
    if schedule.drill is not None:
        weekday, later, more = _drill_time(schedule.minute, schedule.drill)
        words = quote_for_cron(build_command(schedule, *_DRILL))
        drill = {"weekday": weekday, "hour": later, "minute": more, "command": words}
    return render("schedule/crontab.j2", begin=begin, end=end, hour=hour, minute=minute, command=command, drill=drill)


def insert_block(crontab: str, block: str) -> str:
    """Return the crontab with `block` in the place of the one with its marks, else at the end.

    Raises RagopsError (crontab_damaged).
    """
    spans = list(_spans(crontab, block.partition("\n")[0], block.rstrip("\n").rpartition("\n")[2]))
    if not spans:
        return crontab + ("\n" if crontab and not crontab.endswith("\n") else "") + block
    start, end = spans[0]
    return crontab[:start] + block + _cut(crontab[end:], [(a - end, b - end) for a, b in spans[1:]])


def remove_block(crontab: str, name: str) -> str:
    """Return the crontab without the block of this mark. Raises RagopsError (crontab_damaged)."""
    return _cut(crontab, list(_spans(crontab, *format_block_marks(name))))


def find_block(crontab: str, name: str) -> str:
    """Return the block of this mark in the crontab, empty if there is none. Raises as `insert_block`."""
    return "".join(crontab[start:end] for start, end in _spans(crontab, *format_block_marks(name)))


def format_block_marks(name: str) -> tuple[str, str]:
    """Return the first and the last line of a block."""
    return f"# BEGIN {name}", f"# END {name}"


def _cut(text: str, spans: list[tuple[int, int]]) -> str:
    for start, end in reversed(spans):
        text = text[:start] + text[end:]
    return text


def _spans(crontab: str, begin: str, end: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of blocks: from their first letter to after the line break of their end."""
    position, start = 0, -1
    for line in re.findall(r"[^\n]*\n|[^\n]+$", crontab):
        words = line.rstrip("\r\n")
        if (start >= 0) if words == begin else (start < 0 and words == end):
            raise _damaged(begin, end)
        if words == begin:
            start = position
        position += len(line)
        if words == end:
            yield start, position
            start = -1
    if start >= 0:
        raise _damaged(begin, end)


def _damaged(begin: str, end: str) -> RagopsError:
    what = f"cannot change the crontab: it has a line `{begin}` or `{end}` without the other; it was left as it is"
    return RagopsError("crontab_damaged", what, "run `crontab -e` and take out that line and those that belong to it")


def quote_for_cron(command: tuple[str, ...]) -> str:
    """Quote the words for a shell, and for cron around it."""
    return shlex.join(command).replace("%", "\\%")  # cron ends the command at a bare one


def _drill_time(minute: int, weekday: int) -> tuple[int, int, int]:
    """Weekday, hour and minute of the drill that follows the nightly run of `weekday`."""
    days, rest = divmod(minute + _DRILL_LATER, 24 * 60)
    return (weekday + days) % 7, *divmod(rest, 60)


# --- systemd ---------------------------------------------------------------------------------------------------------


def render_units(schedule: Schedule, *, system: bool) -> dict[str, str]:
    """Return the texts of service and timer, and those of the drill, by name; `system`: root's own.

    Raises UsageError (path_not_schedulable).
    """
    check_program(schedule)
    hour, minute = divmod(schedule.minute, 60)
    mark = format_schedule_mark(schedule.environment, schedule.config)
    calendar = f"*-*-* {hour:02}:{minute:02}:00"
    found = render_pair(schedule, "", "Nightly backup", _NIGHTLY, calendar, mark=mark, system=system)
    if schedule.drill is not None:
        weekday, hour, minute = _drill_time(schedule.minute, schedule.drill)
        calendar = f"{WEEKDAYS[weekday][:3].title()} *-*-* {hour:02}:{minute:02}:00"
        found |= render_pair(schedule, "-drill", "Weekly drill", _DRILL, calendar, mark=mark, system=system)
    return found


def select_owned(found: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the unit files that have this mark as their first line."""
    return {unit: text for unit, text in sorted(found.items()) if text.partition("\n")[0] == f"# {name}"}


def render_pair(
    schedule: Schedule, suffix: str, what: str, words: tuple[str, ...], calendar: str, *, mark: str, system: bool
) -> dict[str, str]:
    """Return the texts of a service and of its timer by name: `words` is what runs, `mark` whose they are."""
    stem = f"ragops-{schedule.name}-{schedule.environment}{suffix}"
    values = {
        "mark": f"# {mark}",
        "description": f"{what} of {schedule.name}, environment {schedule.environment}",
        "command": quote_for_systemd(build_command(schedule, *words)),
        "calendar": calendar,
    }
    files = {kind: f"schedule/ragops-backup.{kind}.j2" for kind in ("service", "timer")}
    return {f"{stem}.{kind}": render(file, system=system, **values) for kind, file in files.items()}


def quote_for_systemd(command: tuple[str, ...]) -> str:
    """Quote the words as systemd.service(5) reads them."""
    escapes = str.maketrans({"\\": "\\\\", '"': '\\"', "%": "%%", "$": "$$"})
    return " ".join(f'"{word.translate(escapes)}"' for word in command)


# --- both ------------------------------------------------------------------------------------------------------------


def find_next_run(text: str, now: datetime) -> datetime | None:
    """Return the next nightly run by a block or unit, in the zone of `now`; None if its time was changed by hand."""
    if found := _CRON_LINE.search(text):
        hour, minute = int(found[2]), int(found[1])
    elif found := _CALENDAR_LINE.search(text):
        hour, minute = int(found[1]), int(found[2])
    else:
        return None
    if hour > 23 or minute > 59:
        return None
    today = now.replace(tzinfo=None, hour=hour, minute=minute, second=0, microsecond=0)
    coming = today if today > now.replace(tzinfo=None) else today + timedelta(days=1)
    return coming.astimezone()  # the offset of that day, not of this one


def check_paths(schedule: Schedule, letters: str = "") -> None:
    """Raise UsageError (path_not_schedulable) for what would begin another line, or is not read alike everywhere."""
    for path in (schedule.python, str(schedule.config)):
        if odd := re.search(rf"[\x00-\x1f\x7f\ud800-\udfff{re.escape(letters)}]", path):
            raise _not_schedulable(path, odd[0], "cron" if letters else "systemd")


def check_program(schedule: Schedule) -> None:
    """Check the program's name too: systemd cannot quote some letters in it."""
    check_paths(schedule)
    if odd := re.search(r"[$\"'\\]", schedule.python):
        raise _not_schedulable(schedule.python, odd[0], "systemd")


def _not_schedulable(path: str, letter: str, where: str) -> UsageError:
    what = f"cannot write the path {path!r} for {where}: it contains {letter!r}"
    return UsageError("path_not_schedulable", what, "move or rename that folder")
