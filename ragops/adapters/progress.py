"""Progress of long steps as text; shown live on a terminal."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Progress:
    """The progress of `resource`; `final` marks its last message.

    `done` of `total` bytes if those are known; a `total` of 0 means that it is unknown.
    """

    resource: str
    text: str
    final: bool = False
    done: int = 0
    total: int = 0


OnProgress: TypeAlias = "Callable[[Progress], None]"


def make_byte_counter(on_progress: OnProgress, resource: str, text: str, total: int = 0) -> Callable[[int], None]:
    """Return a callback that adds up bytes and reports the progress."""
    done = 0

    def on_bytes(size: int) -> None:
        nonlocal done
        done += size
        on_progress(Progress(resource, text, done=done, total=total))

    return on_bytes


def ignore_progress(_progress: object) -> None:
    """Ignore progress."""


# One list for all threads of a run, as with cancellation: code deep inside an engine reports through it.
_shown: list[OnProgress] = []


@contextlib.contextmanager
def report_progress(show: OnProgress) -> Iterator[None]:
    """Show the progress that `report` receives inside the block by `show`."""
    _shown.append(show)
    try:
        yield
    finally:
        _shown.remove(show)


def report(progress: Progress) -> None:
    """Pass progress to every `report_progress` around it."""
    for show in tuple(_shown):
        show(progress)
