"""Roll-back of a change that failed half-way: every step is tried, and the first failure is the one to be raised."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Rollback:
    """The steps that undo what has been done so far."""

    def __init__(self) -> None:
        self.steps = ExitStack()
        self.failures: list[str] = []

    def add(self, doing: str, step: Callable[[], object]) -> None:
        """Add a step, to run before those that were added earlier; `doing` describes it, such as "start redis"."""
        self.steps.callback(self._run, doing, step)

    def _run(self, doing: str, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:
            self.failures.append(f"cannot {doing}: {error}")


@contextmanager
def rollback() -> Iterator[Rollback]:
    """Run the steps of the roll-back if the block fails, the last first; their failures become part of its error.

    A RagopsError gets them in its message, since the user has to finish by hand what they left; others get notes.
    """
    undo = Rollback()
    try:
        yield undo
    except BaseException as error:
        undo.steps.close()
        if isinstance(error, RagopsError):
            error.message = "; ".join([error.message, *undo.failures])
        for failure in undo.failures:
            error.add_note(failure)
        raise
