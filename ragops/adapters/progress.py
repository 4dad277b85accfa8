"""How far something is that takes its time, in words; shown live where there is a terminal."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Progress:
    """What is going on with `resource`; `final` is the last word on it.

    `done` of `total` bytes where those are known; a `total` of 0 says that nobody knows how many there will be.
    """

    resource: str
    text: str
    final: bool = False
    done: int = 0
    total: int = 0


def counting(
    on_progress: Callable[[Progress], None], resource: str, text: str, total: int = 0
) -> Callable[[int], None]:
    """What to call with every number of bytes that is done: it adds them up and tells."""
    done = 0

    def on_bytes(size: int) -> None:
        nonlocal done
        done += size
        on_progress(Progress(resource, text, done=done, total=total))

    return on_bytes


def ignore(_progress: object) -> None:
    """Take progress and do nothing with it."""


def megabytes(size: int) -> str:
    """A number of bytes as people compare them."""
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.2f} GB"


# One for all threads of a run, as the word that it is to end: whoever waits deep inside an engine says so here.
_shown: list[Callable[[Progress], None]] = []


@contextlib.contextmanager
def report_progress(show: Callable[[Progress], None]) -> Iterator[None]:
    """Inside the block `tell` gives its progress to `show`."""
    _shown.append(show)
    try:
        yield
    finally:
        _shown.remove(show)


def tell(progress: Progress) -> None:
    """Say how far something is, to those who listen."""
    for show in tuple(_shown):
        show(progress)
