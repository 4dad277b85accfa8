"""What restores have kept: listed, and removed on request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ragops.errors import InterruptedRunError, RagopsError, UsageError
from ragops.services import SERVICES, by_name
from ragops.services.kept_data import KeepsFolders, KeepsOwn, Kept
from ragops.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.operations.records.restore_journal import RestoreJournal
    from ragops.operations.session import Platform


@dataclass(frozen=True)
class KeptItem:
    """One thing that is kept for `service`."""

    service: str
    kept: Kept

    def age(self) -> timedelta | None:
        """Since when, None if that is not known."""
        return datetime.now(tz=UTC) - self.kept.since if self.kept.since else None


@dataclass(frozen=True)
class KeptItems:
    """All that is kept; `failures` are the services that could not be asked."""

    found: tuple[KeptItem, ...]
    failures: tuple[tuple[str, RagopsError], ...] = ()

    def older(self, than: timedelta | None) -> tuple[KeptItem, ...]:
        """Those that may go and are older than that; of what has no date nothing is older. None: all that may go."""
        free = (item for item in self.found if not item.kept.needed)
        return tuple(item for item in free if than is None or ((age := item.age()) is not None and age > than))

    def require_all(self) -> None:
        """Raise RagopsError (clean_failed) if a service could not be asked, or something not be removed."""
        if self.failures:
            name, error = self.failures[0]
            what = f"cannot clean {name}: {error.message}"
            raise RagopsError("clean_failed", what, error.hint, exit_code=error.exit_code)


def read_age(text: str) -> timedelta:
    """Return a time such as `7d`, `12h`, `30m`, `2w`. Raises UsageError."""
    if (found := parse_duration(text)) is None:
        what = f"cannot read `--older-than {text}`: it has no number with a unit"
        raise UsageError("usage", what, "give a time such as 7d, 12h, 30m or 2w")
    return found


def list_kept(platform: Platform, services: Sequence[str] = ()) -> KeptItems:
    """Return what is kept, in order of dependence; `services` (none: all). Never raises for one of them."""
    found: list[KeptItem] = []
    failures: list[tuple[str, RagopsError]] = []
    for name in [service.name for service in SERVICES if service.name in platform.endpoints]:
        if services and name not in services:
            continue
        for look in (_folders, _own):  # folders are there when the server is down
            try:
                found += [KeptItem(name, kept) for kept in look(platform, name)]
            except InterruptedRunError:
                raise
            except RagopsError as error:
                failures.append((name, error))
    return KeptItems(tuple(found), tuple(failures))


def clean(platform: Platform, journal: RestoreJournal, wanted: Sequence[KeptItem]) -> KeptItems:
    """Remove what is `wanted` for good; returns what is gone, and what failed. The caller asked, and holds the locks.

    Raises RagopsError (restore_interrupted) if a restore has not come to its end.
    """
    if left := journal.read():
        hint = f"`ragops restore {left.point}` continues it; clean after it"
        raise RagopsError("restore_interrupted", f"cannot clean: the restore of {left.point} was interrupted", hint)
    gone: list[KeptItem] = []
    failures: list[tuple[str, RagopsError]] = []
    for item in wanted:
        try:
            _remove(platform, item)
        except InterruptedRunError:
            raise
        except RagopsError as error:
            failures.append((item.service, error))
        else:
            gone.append(item)
    return KeptItems(tuple(gone), tuple(failures))


def _folders(platform: Platform, name: str) -> tuple[Kept, ...]:
    if by_name(name).backup() is None:
        return ()
    control = platform.control(name)
    return control.list_kept() if isinstance(control, KeepsFolders) else ()


def _own(platform: Platform, name: str) -> tuple[Kept, ...]:
    engine = by_name(name).backup()
    return engine.kept(platform.endpoint(name)) if isinstance(engine, KeepsOwn) else ()


def _remove(platform: Platform, item: KeptItem) -> None:
    control, engine = platform.control(item.service), by_name(item.service).backup()
    if item.kept.kind == "folder" and isinstance(control, KeepsFolders):
        control.remove_aside(item.kept.name)
    elif isinstance(engine, KeepsOwn):
        engine.drop_kept(platform.endpoint(item.service), [item.kept.name])
