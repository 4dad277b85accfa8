"""Progress on stderr, by rich on a terminal and in plain lines elsewhere: steps, parts, documents."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress
from ragops.cli.printable import one_line, printable
from ragops.units import duration, size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console as RichConsole
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from ragops.adapters.pulumi.events import Step
    from ragops.cli.console import Console
    from ragops.ingest.progress import Progress as IngestProgress

_WORDS = {
    "create": ("starting", "started"),
    "update": ("updating", "updated"),
    "replace": ("replacing", "replaced"),
    "delete": ("stopping", "stopped"),
}
_THINGS = {
    "create": ("making", "made"),
    "update": ("changing", "changed"),
    "replace": ("replacing", "replaced"),
    "delete": ("removing", "removed"),
}
_WAITS = dict.fromkeys(("create", "update", "replace"), ("waiting until it serves", "serves"))
# By the end of a resource's type: what else than a process or a container is worth a line, and in which words.
_KINDS: dict[str, dict[str, tuple[str, str]]] = {
    "Ready": _WAITS,
    "Volume": _THINGS,
    "Network": _THINGS,
    "VolumeFiles": _THINGS,
    "GatewayConfig": _THINGS,
    "RemoteImage": {},
}


_LINE_SECONDS = 5.0  # between two lines about the same thing if there is no terminal
_PART_SECONDS = 10.0  # the same for parts, which are many
_LEAST_COLUMNS = 80  # narrower ones would break every bar


@contextlib.contextmanager
def steps(console: Console, title: str) -> Iterator[Callable[[Step | Progress], None]]:
    """Return a function that takes the engine's steps and other progress, and shows each resource as it goes."""
    if console.quiet:
        yield lambda _step: None
    elif sys.stderr.isatty():
        with _live(console, title) as show:
            yield _Lines(show, 0.0).take
    else:
        yield _Lines(lambda text, _final: console.message(text), _LINE_SECONDS).take


def _rich(console: Console) -> RichConsole:
    from rich.console import Console as RichConsole

    return RichConsole(stderr=True, highlight=False, no_color=not console.color)


@contextlib.contextmanager
def _live(console: Console, title: str) -> Iterator[Callable[[str, bool], None]]:
    """Return a function that shows a text in one line that is redrawn; a final one stays."""
    from rich.text import Text

    rich = _rich(console)
    with rich.status(title) as status:

        def show(text: str, final: bool) -> None:
            if final:
                rich.print(printable(text), markup=False)
            else:
                status.update(Text(one_line(f"{title}: {text}")))

        yield show


class _Lines:
    """Words for each step, with how long it took, and for other progress not oftener than every `pause` seconds."""

    def __init__(self, show: Callable[[str, bool], None], pause: float) -> None:
        self._show = show
        self._pause = pause
        self._started: dict[str, float] = {}
        self._said: dict[str, float] = {}

    def take(self, step: Step | Progress) -> None:
        """Show one step; components and refreshes are not worth a line."""
        if isinstance(step, Progress):
            self._progress(step)
            return
        action = "delete" if step.action.value == "replace" and not step.new else step.action.value
        words = _KINDS.get(step.type.rpartition(":")[2], _WORDS).get(action)
        if words is None or step.type.startswith("ragops:"):
            return
        if step.phase.value == "started":
            self._started[step.resource] = time.monotonic()
            self._show(f"{step.resource}: {words[0]}", False)
            return
        seconds = time.monotonic() - self._started.get(step.resource, time.monotonic())
        word = words[1] if step.phase.value == "done" else "failed"
        self._show(f"{step.resource}: {word} ({duration(seconds)})", True)

    def _progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if not progress.final and now - self._said.get(progress.resource, -self._pause) < self._pause:
            return
        self._said[progress.resource] = now
        self._show(f"{progress.resource}: {progress.text}", progress.final)


# --- parts of recovery points ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def bars(console: Console) -> Iterator[Callable[[Progress], None]]:
    """Return a function that takes progress from several threads and shows it."""
    if console.quiet:
        yield lambda _progress: None
    elif sys.stderr.isatty() and shutil.get_terminal_size().columns >= _LEAST_COLUMNS:
        with _live_bars(console) as show:
            yield show
    else:
        yield _PartLines(console).show


class _PartLines:
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
            if progress.final or now - last >= _PART_SECONDS:
                self._said[progress.resource] = now
                self._console.message(f"{progress.resource}: {progress.text}{_amount(progress)}")


def _amount(progress: Progress) -> str:
    if progress.final:
        return f" ({size(progress.total)})" if progress.total else ""
    if not progress.total:
        return f", {size(progress.done)} so far" if progress.done else ""
    return f", {100 * progress.done // progress.total} % of {size(progress.total)}"


@contextlib.contextmanager
def _live_bars(console: Console) -> Iterator[Callable[[Progress], None]]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.fields[name]}", markup=False),
        BarColumn(bar_width=20),
        DownloadColumn(binary_units=True),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=_rich(console), transient=False) as shown:
        yield _Bars(shown).show


class _Bars:
    """A bar for each part that is spoken of."""

    def __init__(self, shown: RichProgress) -> None:
        self._shown = shown
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def show(self, progress: Progress) -> None:
        """Move the part's bar; without a total it only shows that it moves."""
        with self._lock:
            if progress.resource not in self._tasks:
                self._tasks[progress.resource] = self._shown.add_task("", total=None, name=one_line(progress.resource))
            task = self._tasks[progress.resource]
        total = progress.total or (1 if progress.final else None)
        done = total if progress.final else progress.done
        self._shown.update(task, description=one_line(progress.text), total=total, completed=done)


# --- documents ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def documents(console: Console) -> Iterator[Callable[[IngestProgress], None]]:
    """Return a function that takes the progress of an ingest."""
    if console.quiet:
        yield lambda _progress: None
    elif sys.stderr.isatty():
        with _live(console, "ingest") as show:
            yield lambda progress: show(_documents_text(progress), False)
    else:
        last: dict[str, float] = {}

        def line(progress: IngestProgress) -> None:
            if progress.seconds - last.get(progress.collection, 0.0) >= _LINE_SECONDS:
                last[progress.collection] = progress.seconds
                console.message(_documents_text(progress))

        yield line


def _documents_text(progress: IngestProgress) -> str:
    if progress.stage == "check":
        return f"{progress.collection}: {progress.files} points compared with the database"
    what = {"compare": "compared", "store": "stored"}[progress.stage]
    speed = progress.files / progress.seconds if progress.seconds else 0.0
    chunks = f", {progress.chunks} chunks" if progress.chunks else ""
    # A prediction from the first seconds is worth nothing.
    predicts = progress.left and progress.seconds >= _LINE_SECONDS
    left = f", about {duration(progress.left or 0)} left" if predicts else ""
    done = f"{progress.files} of {progress.total} files {what}"
    return f"{progress.collection}: {done}{chunks}, {speed:.0f} files/s{left}"
