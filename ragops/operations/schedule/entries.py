"""Entries of one project and environment in a user's crontab and systemd units: found, replaced, removed."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters import locks
from ragops.adapters.pulumi.install import cache_dir
from ragops.adapters.scheduler.cron import daemon_runs
from ragops.errors import MissingError, RagopsError, UsageError
from ragops.operations.schedule import scheduler_files as texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ragops.adapters.scheduler.cron import Crontab
    from ragops.adapters.scheduler.systemd import UnitFolder

CRON, SYSTEMD = "cron", "systemd"
_LOCK_WAIT = 30.0


@dataclass(frozen=True)
class Schedulers:
    """What can start a program by the clock or at boot on this machine."""

    crontab: Crontab
    units: UnitFolder

    def choose(self, name: str) -> str:
        """Return `name`, or the scheduler to use if it is empty: systemd if it runs, else cron.

        Raises UsageError (unknown_scheduler).
        """
        if name not in ("", CRON, SYSTEMD):
            raise UsageError(
                "unknown_scheduler", f"cannot install into {name!r}: it is not a scheduler", "use cron or systemd"
            )
        return name or (SYSTEMD if self.units.available() else CRON)


@dataclass(frozen=True)
class Entry:
    """The entry marked `mark`; `kind` and `what` name it in messages, `command` is the holder of the crontab's lock.

    `lingering` is the note for a user whose systemd ends with their session.
    """

    mark: str
    kind: str
    command: str
    what: str
    lingering: str

    def install(
        self, found: Schedulers, scheduler: str, block: Callable[[], str], units: Callable[[], Mapping[str, str]]
    ) -> tuple[str, str, tuple[str, ...]]:
        """Write the entry in the place of an older one; return the scheduler, the text there, and notes.

        Raises UsageError (unknown_scheduler, path_not_schedulable, unit_taken), MissingError (cron_missing,
        systemd_missing), RagopsError (crontab_unreadable, crontab_refused, crontab_damaged, tool_failed): all then
        stands as it was.
        """
        chosen = found.choose(scheduler)
        if chosen == SYSTEMD:
            text = _joined(self._install_units(found.units, units))
        else:
            text = self._install_block(found.crontab, block())
        older = self._remove_older(chosen, found)
        return chosen, text, (*older, *_notes(chosen, found, self.what, self.lingering))

    def _install_block(self, crontab: Crontab, block: str) -> str:
        """Put the block into the crontab in the place of an older one; returns it as it stands there."""
        with _hold_crontab(self.command):
            crontab.write(texts.insert_block(crontab.read(), block))
            return texts.find_block(crontab.read(), self.mark)

    def _install_units(self, units: UnitFolder, render: Callable[[], Mapping[str, str]]) -> Mapping[str, str]:
        """Write the units that `render` returns by name, and remove those of an older entry.

        Raises MissingError (systemd_missing), UsageError (unit_taken) if one is another project's.
        """
        if not units.available():
            hint = "take `--with cron`; a user's own systemd runs only if they logged in, or linger"
            raise MissingError("systemd_missing", "cannot install into systemd: none runs here", hint)
        wanted, there = render(), units.read()
        mine = texts.select_owned(there, self.mark)
        if taken := [unit for unit in wanted if unit in there and unit not in mine]:
            what = f"cannot write {taken[0]}: it is the {self.kind} of another project"
            hint = "give one of the two another name in ragops.yaml, or take `--with cron`"
            raise UsageError("unit_taken", what, hint)
        units.install(wanted)
        if left := [unit for unit in mine if unit not in wanted]:  # a drill that is no longer wanted, an older name
            units.remove(left)
        return wanted

    def _remove_from(self, scheduler: str, found: Schedulers) -> bool:
        """Remove the entry from one scheduler; returns whether it was there. Raises RagopsError."""
        return self._remove_units(found.units) if scheduler == SYSTEMD else self._remove_block(found.crontab)

    def remove(self, found: Schedulers) -> tuple[str, ...]:
        """Remove the entry; returns the schedulers that had it."""
        return tuple([scheduler for scheduler in (SYSTEMD, CRON) if self._remove_from(scheduler, found)])

    def _remove_older(self, chosen: str, found: Schedulers) -> Iterator[str]:
        """Remove an older entry from the scheduler that was not chosen; yield a note if that fails."""
        other = CRON if chosen == SYSTEMD else SYSTEMD
        try:
            self._remove_from(other, found)
        except RagopsError as error:
            yield f"an older one may be left in {other}: {error.message}"

    def find(self, found: Schedulers) -> Iterator[tuple[str, str]]:
        """Yield the schedulers that have the entry, with its text there."""
        mine = texts.select_owned(found.units.read(), self.mark)
        if mine:
            yield SYSTEMD, _joined(mine)
        try:
            block = texts.find_block(found.crontab.read(), self.mark) if found.crontab.available() else ""
        except RagopsError:
            if not mine:  # a user with timers and no crontab is well served
                raise
            block = ""
        if block:
            yield CRON, block

    def _remove_block(self, crontab: Crontab) -> bool:
        if not crontab.available():
            return False
        with _hold_crontab(self.command):
            before = crontab.read()
            after = texts.remove_block(before, self.mark)
            if after != before:
                crontab.write(after)
        return after != before

    def _remove_units(self, units: UnitFolder) -> bool:
        mine = texts.select_owned(units.read(), self.mark)
        if mine:
            units.remove(list(mine))
        return bool(mine)


def _joined(units: Mapping[str, str]) -> str:
    if len(units) == 1:
        return "".join(units.values())
    return "\n".join(f"# --- {unit}\n{text}" for unit, text in units.items())


def _notes(chosen: str, found: Schedulers, what: str, lingering: str) -> Iterator[str]:
    """Yield notes for the owner: variables that are set only here, no cron daemon, a user's systemd without linger."""
    if names := sorted(name for name in os.environ if name.startswith("RAGOPS_") and name != "RAGOPS_TOKEN"):
        yield f"{', '.join(names)}: set here, and not where {what} starts; settings belong into ragops.yaml"
    if chosen == CRON and not daemon_runs():
        yield "no cron daemon is seen on this machine: nothing runs until one does"
    if chosen == SYSTEMD and not found.units.lingers():
        yield lingering


@contextlib.contextmanager
def _hold_crontab(command: str) -> Iterator[None]:
    """One at a time: every project of a user is in the same crontab, and each change of it writes all of it."""
    with locks.hold_locks(cache_dir(), ("crontab",), command, _LOCK_WAIT, lambda _: None):
        yield
