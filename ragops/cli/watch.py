"""The output of `ragops ingest --watch`: the table of the first ingest, then a line for each changed collection."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ragops.cli import ingest
from ragops.cli.progress import documents
from ragops.errors import LockedError
from ragops.operations.data.watch import Watcher, WatchViews
from ragops.units import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ragops.cli.console import Console
    from ragops.errors import RagopsError
    from ragops.ingest.report import CollectionReport, IngestReport
    from ragops.operations.session import Session

_COUNTS = ("added", "changed", "moved", "deleted", "repaired")


def follow(
    console: Console, open_session: Callable[[], Session], collections: Sequence[str], *, allow_empty: bool
) -> None:
    """Ingest, then follow the changes; an interrupt while nothing is ingested is how it is meant to end."""
    shown = _Batches(console)
    views = WatchViews(lambda: documents(console), shown.show, shown.show_failure, console.message)
    watcher = Watcher(open_session, collections, views, allow_empty)
    try:
        watcher.run()
    except KeyboardInterrupt:
        if watcher.is_working:
            raise


class _Batches:
    """Prints batch after batch; with --json each is a document on a line of its own."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, set[str]] = {}  # faults that were shown, by collection
        self._is_first = True
        self._fault = ""  # the failure that was shown last, until something succeeds

    def show(self, report: IngestReport, refreshed: bool) -> None:
        """Show the result of one ingest."""
        console, self._fault = self._console, ""
        if self._is_first:
            self._is_first = False
            ingest.show_report(console, report, refreshed)
        else:
            ingest.show_document(console, report)
            for one in report.collections:
                self._line(one)
            if not refreshed:
                console.message(ingest.CACHE_KEPT)
        for one in report.collections:
            self._said[one.name] = set(ingest.list_faults(one))

    def _line(self, one: CollectionReport) -> None:
        faults = ingest.list_faults(one)
        new = [fault for fault in faults if fault not in self._said.get(one.name, ())]
        counts = {name: getattr(one, name) for name in _COUNTS} | {"failed": len(faults) if new else 0}
        words = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        if words:
            now = datetime.now().astimezone()
            self._console.text(f"{now:%H:%M:%S} {one.name}: {words} ({duration(one.total_seconds)})")
        ingest.say_faults(self._console, one, new)

    def show_failure(self, error: RagopsError, collections: Sequence[str], delay: float | None) -> None:
        """Show why a batch could not be ingested, and when that is tried again."""
        console = self._console
        if console.as_json:
            found = {"code": error.code, "message": error.message, "hint": error.hint}
            console.document({"error": found, "collections": list(collections), "retry_seconds": delay})
            return
        names = ", ".join(collections) or "the collections"
        if isinstance(error, LockedError):
            console.message(f"{names}: waiting: {error.message}")
            return
        if error.message != self._fault:
            self._fault = error.message
            console.complain(error)
        when = f"in {duration(delay)}" if delay is not None else "at the next change, in 10 min at the latest"
        console.message(f"{names}: tried again {when}")
