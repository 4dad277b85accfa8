"""Daemon threads of one run, so that a blocked call cannot keep an interrupted run alive."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ragops.adapters import cancellation
from ragops.errors import InterruptedRunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")
_POLL = 0.05
_GRACE = 15.0
_TASK_GRACE = 10.0  # shorter, so that the thread that started the tasks ends in time too


class BackgroundTask(Generic[T]):
    """A task that runs in a daemon thread.

    It is among `known` before it begins: an interrupt may come while its thread is started.
    """

    def __init__(self, work: Callable[[], T], name: str = "", known: list[BackgroundTask[T]] | None = None) -> None:
        self._work = work
        self._value: list[T] = []
        self.failure: BaseException | None = None
        self._over = threading.Event()
        if known is not None:
            known.append(self)
        # With the context of its caller: it works for the same run, also if that one is over before it.
        run = copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run,), name=name or "ragops-job", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value.append(self._work())
        except BaseException as error:
            self.failure = error
        finally:
            self._over.set()

    @property
    def is_done(self) -> bool:
        """Return whether it is over, well or not."""
        return self._over.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait at most so many seconds; return whether it has ended."""
        if self._over.wait(seconds):
            self._thread.join()
        return self.is_done

    def result(self) -> T:
        """Return the value; raise the failure of the task, or InterruptedRunError if the run is cancelled."""
        while not self.wait(_POLL):
            cancellation.check()
        if self.failure is not None:
            raise self.failure
        return self._value[0]


class TaskPool:
    """A limit of `count` tasks at once, shared by all threads."""

    def __init__(self, count: int) -> None:
        self._free = threading.Semaphore(count)
        self._count = count

    def run_all(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run all; the first failure is raised when those that had begun are over, the others are not begun."""
        waiting = deque(tasks)
        failed = threading.Event()

        def work() -> None:
            while waiting:
                with self._free:
                    cancellation.check()
                    if failed.is_set():
                        return
                    try:
                        task = waiting.popleft()
                    except IndexError:
                        return
                    try:
                        task()
                    except BaseException:
                        failed.set()
                        raise

        join_all([BackgroundTask(work, "ragops-task") for _ in range(min(self._count, len(tasks)))])


def join_all(jobs: Iterable[BackgroundTask[None]]) -> None:
    """Wait until all have ended. Raises the first failure; those that follow from an interrupt come last.

    Where the run is to end they get some seconds to clear up, with what the caller opened for them.
    """
    waited = list(jobs)
    try:
        while not all(job.wait(_POLL) for job in waited):
            cancellation.check()
    except InterruptedRunError:
        _wait_for(waited, _TASK_GRACE)
        raise
    raise_failure(waited)


def raise_failure(jobs: Iterable[BackgroundTask[Any]]) -> None:
    """Raise the first failure among them, if there is one."""
    failures = [job.failure for job in jobs if job.failure is not None]
    failures.sort(key=lambda failure: isinstance(failure, InterruptedRunError))
    if failures:
        raise failures[0]


def cancel_all(jobs: Iterable[BackgroundTask[Any]]) -> None:
    """Cancel the run, and give its tasks some seconds to remove what they have begun."""
    cancellation.current().cancel()
    _wait_for(jobs, _GRACE)


def _wait_for(jobs: Iterable[BackgroundTask[Any]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for job in jobs:
        job.wait(max(0.0, deadline - time.monotonic()))
