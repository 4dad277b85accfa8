"""Live progress of the engine's steps on stderr: redrawn on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress
from ragops.cli.printable import one_line, printable
from ragops.units import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ragops.adapters.pulumi.events import Step
    from ragops.cli.console import Console

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


@contextlib.contextmanager
def steps(console: Console, title: str) -> Iterator[Callable[[Step | Progress], None]]:
    """Return a function that takes the engine's steps and other progress, and shows each resource as it goes."""
    if console.quiet:
        yield lambda _step: None
    elif sys.stderr.isatty():
        with _live(title) as show:
            yield _Lines(show, 0.0).take
    else:
        yield _Lines(lambda text, _final: console.message(text), _LINE_SECONDS).take


@contextlib.contextmanager
def _live(title: str) -> Iterator[Callable[[str, bool], None]]:
    from rich.console import Console as RichConsole
    from rich.text import Text

    rich = RichConsole(stderr=True, highlight=False)
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
