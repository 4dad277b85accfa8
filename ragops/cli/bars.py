"""A progress bar for each part on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING

from ragops.cli.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from ragops.adapters.progress import Progress
    from ragops.cli.console import Console

_LEAST_COLUMNS = 80  # narrower ones would break every bar
_LINE_SECONDS = 10.0  # between two lines about one part if there is no terminal


@contextlib.contextmanager
def bars(console: Console) -> Iterator[Callable[[Progress], None]]:
    """Return a function that takes progress from several threads and shows it."""
    if console.quiet:
        yield lambda _progress: None
    elif sys.stderr.isatty() and shutil.get_terminal_size().columns >= _LEAST_COLUMNS:
        with _live(console) as show:
            yield show
    else:
        yield _Lines(console).show


class _Lines:
    """The last word on each part; of one that takes long, a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, float] = {}
        self._lock = threading.Lock()

    def show(self, progress: Progress) -> None:
        """One line, if it is worth one."""
        with self._lock:
            now = time.monotonic()
            last = self._said.setdefault(progress.resource, now)
            if progress.final or now - last >= _LINE_SECONDS:
                self._said[progress.resource] = now
                self._console.message(f"{progress.resource}: {progress.text}{_amount(progress)}")


def _amount(progress: Progress) -> str:
    from ragops.units import size

    if progress.final:
        return f" ({size(progress.total)})" if progress.total else ""
    if not progress.total:
        return f", {size(progress.done)} so far" if progress.done else ""
    return f", {100 * progress.done // progress.total} % of {size(progress.total)}"


@contextlib.contextmanager
def _live(console: Console) -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    rich = RichConsole(stderr=True, highlight=False, no_color=not console.color)
    columns = (
        TextColumn("{task.fields[name]}", markup=False),
        BarColumn(bar_width=20),
        DownloadColumn(binary_units=True),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=rich, transient=False) as shown:
        yield _Bars(shown).show


class _Bars:
    """A bar for each part that is spoken of."""

    def __init__(self, shown: RichProgress) -> None:
        self._shown = shown
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def show(self, progress: Progress) -> None:
        """Move the part's bar; without a total it only says that it moves."""
        with self._lock:
            if progress.resource not in self._tasks:
                self._tasks[progress.resource] = self._shown.add_task("", total=None, name=one_line(progress.resource))
            task = self._tasks[progress.resource]
        total = progress.total or (1 if progress.final else None)
        done = total if progress.final else progress.done
        self._shown.update(task, description=one_line(progress.text), total=total, completed=done)
