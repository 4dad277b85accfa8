"""One circuit breaker for each dependency and worker, around awaited calls, on top of pybreaker.

What pybreaker leaves to its caller, and is settled here:
- `call()` holds a lock for the whole call; `calling()` gives it back before the block runs, so calls overlap.
- Half-open, it lets every call through: here exactly one trial call runs, all others are refused until it ends.
- A call that began before the breaker opened and fails after it would open it again, or end a trial that is not its
  own: the verdict of such a late call is not counted.
- Every exception counts, a cancelled request too: calls run in tasks of their own, so that a client who leaves neither
  counts as a failure nor takes the trial's verdict away.
- It measures with the wall clock, which can jump: the storage below measures with the monotonic one.
- Calls that wait for the same thing, a model that is loaded first, all end when their time is over: a slow answer is
  counted once for all calls that had begun before.
"""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import pybreaker

from ragops.api.dependency_errors import CircuitOpenError, DependencyFailedError, SlowError
from ragops.api.logs import log
from ragops.api.problem import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ragops.api.clock import Clock
    from ragops.api.config import BreakerConfig
    from ragops.api.metrics import Metrics

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_LEVEL = {pybreaker.STATE_CLOSED: 0, pybreaker.STATE_HALF_OPEN: 1, pybreaker.STATE_OPEN: 2}


class _LateError(Exception):
    """Carries the failure of a call whose verdict no longer counts."""


@dataclass(frozen=True)
class BreakerState:
    """A breaker as `/internal/breakers` shows it; `retry_after` in seconds, 0 when a call may pass."""

    dependency: str
    state: str
    failures: int
    opens_after: int
    retry_after: float
    changed_at: datetime | None
    refused: int
    last_error: str


class _Storage(pybreaker.CircuitMemoryStorage):
    """Keeps when the breaker opened on the monotonic clock and gives it back as the date it would be by now's date."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(pybreaker.STATE_CLOSED)
        self._clock = clock
        self._opened: float | None = None
        self.keeps_count = False  # at the next success, which is none

    def reset_counter(self) -> None:
        """Begin to count failures again, unless the call that ended was given up."""
        if not self.keeps_count:
            super().reset_counter()
        self.keeps_count = False

    def elapsed(self) -> float:
        """Seconds since the breaker opened."""
        return math.inf if self._opened is None else self._clock.monotonic() - self._opened

    @property
    def opened_at(self) -> datetime | None:
        """What pybreaker compares with the date."""
        return None if self._opened is None else datetime.now(UTC) - timedelta(seconds=self.elapsed())

    @opened_at.setter
    def opened_at(self, _date: datetime) -> None:
        self._opened = self._clock.monotonic()


class Breaker(pybreaker.CircuitBreakerListener):
    """Guards the calls of one dependency; `timeout` seconds bound a call with its retries."""

    def __init__(self, name: str, config: BreakerConfig, timeout: float, clock: Clock, metrics: Metrics) -> None:
        self.name = name
        self._timeout = timeout
        self._clock = clock
        self._metrics = metrics
        self._storage = _Storage(clock)
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=config.failures,
            reset_timeout=config.reset_seconds,
            exclude=[_is_no_failure],
            listeners=[self],
            state_storage=self._storage,
            name=name,
            throw_new_error_on_trip=False,
        )
        self._trial = False
        self._slow = 0  # calls that were counted because they were slow
        self._changed_at: datetime | None = None
        self._refused = 0
        self._last_error = ""
        self._running: set[asyncio.Task[Any]] = set()
        self._succeeded = metrics.dependency_calls.labels(name, "ok")
        self._failed = metrics.dependency_calls.labels(name, "failed")
        self._refusals = metrics.breaker_refused.labels(name)
        self._changes = {state: metrics.breaker_changes.labels(name, state) for state in _LEVEL}
        metrics.breaker_state.labels(name).set(0)

    def check(self) -> None:
        """Raise CircuitOpenError if a call would be refused; touches nothing."""
        if self._breaker.current_state == pybreaker.STATE_CLOSED:
            return
        wait = self._wait()
        if wait > 0:
            raise self._refusal(wait, f"failed {self._breaker.fail_max} times in a row and is left alone")
        if self._trial:
            raise self._refusal(1, "is being tried by another request")

    async def call(self, function: Callable[[], Awaitable[T]], *, ends_with_caller: bool = False) -> T:
        """Await `function()` and count how it went.

        `ends_with_caller`: it is cancelled with the caller, without a verdict, unless it is a trial. Raises
        CircuitOpenError without calling it, DependencyFailedError, or whatever ApiError the call raises.
        """
        self.check()
        task = asyncio.create_task(self._run(function))
        self._running.add(task)
        task.add_done_callback(self._finished)
        try:
            return await asyncio.shield(task)
        except _LateError as late:
            raise late.__cause__ or late from None
        except asyncio.CancelledError:
            if ends_with_caller and not self._trial:
                task.cancel()
                await asyncio.wait({task})
            raise

    async def call_inline(self, function: Callable[[], Awaitable[T]]) -> T:
        """As `call`, in the caller's own task: for calls that limit their time and may be cancelled at any moment.

        It saves the cost of a task, unless the breaker is open. A cancelled call has no verdict.
        """
        if self._breaker.current_state != pybreaker.STATE_CLOSED:
            return await self.call(function)
        try:
            return await self._run_closed(function, self._judge)
        except _LateError as late:
            raise late.__cause__ or late from None

    async def close(self) -> None:
        """Cancel what still runs."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def state(self) -> BreakerState:
        """How it stands now."""
        return BreakerState(
            dependency=self.name,
            state=self._breaker.current_state,
            failures=self._breaker.fail_counter,
            opens_after=self._breaker.fail_max,
            retry_after=max(0.0, self._wait()),
            changed_at=self._changed_at,
            refused=self._refused,
            last_error=self._last_error,
        )

    async def _run(self, function: Callable[[], Awaitable[T]]) -> T:
        # No await between the check, the mark and `calling()`: no other call can become the trial in between.
        self.check()
        if self._breaker.current_state == pybreaker.STATE_CLOSED:
            return await self._run_closed(function, self._timed)
        self._trial = True
        try:
            with self._breaker.calling():
                return await self._timed(function)
        except pybreaker.CircuitBreakerError:
            raise self._refusal(self._wait(), "is left alone") from None
        finally:
            self._trial = False

    async def _run_closed(
        self, function: Callable[[], Awaitable[T]], run: Callable[[Callable[[], Awaitable[T]]], Awaitable[T]]
    ) -> T:
        """Run it by `run` while the breaker is closed: only a verdict that changes something is given to pybreaker."""
        try:
            result = await run(function)
        except Exception:
            if self._breaker.current_state == pybreaker.STATE_CLOSED:
                with self._breaker.calling():
                    raise
            self._storage.keeps_count = False  # meant for the count of a breaker that is open by now
            raise
        if self._breaker.fail_counter and self._breaker.current_state == pybreaker.STATE_CLOSED:
            with self._breaker.calling():
                pass
        return result

    async def _timed(self, function: Callable[[], Awaitable[T]]) -> T:
        async def within() -> T:
            try:
                async with asyncio.timeout(self._timeout):
                    return await function()
            except TimeoutError as error:
                raise DependencyFailedError(self.name, f"no answer within {self._timeout:g} s") from error

        return await self._judge(within)

    async def _judge(self, function: Callable[[], Awaitable[T]]) -> T:
        """Raise _LateError for a failure that does not count."""
        era, slow = self._breaker.state, self._slow
        try:
            result = await function()
        except asyncio.CancelledError as error:  # by its caller, or at the end: no verdict
            self._storage.keeps_count = True
            raise _LateError from error
        except Exception as error:
            if self._breaker.state is not era:
                raise _LateError from error
            if isinstance(error, SlowError):
                if slow != self._slow:
                    self._storage.keeps_count = True
                    raise _LateError from error
                self._slow += 1
            raise
        self._succeeded.inc()
        return result

    def _wait(self) -> float:
        if self._breaker.current_state != pybreaker.STATE_OPEN:
            return 0.0
        return self._breaker.reset_timeout - self._storage.elapsed()

    def _refusal(self, seconds: float, reason: str) -> CircuitOpenError:
        self._refused += 1
        self._refusals.inc()
        return CircuitOpenError(self.name, seconds, reason)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain where the client has left

    # --- pybreaker's listener ---------------------------------------------------------------------------------------

    def failure(self, cb: pybreaker.CircuitBreaker, exc: BaseException) -> None:  # noqa: ARG002  pybreaker's signature
        """Store the reason."""
        self._failed.inc()
        self._last_error = exc.detail if isinstance(exc, ApiError) else type(exc).__name__

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,  # noqa: ARG002  pybreaker's signature
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        """Log and count it; a trial that fails is no further opening, or one long outage would be many."""
        self._changed_at = self._clock.now()
        self._metrics.breaker_state.labels(self.name).set(_LEVEL[new_state.name])
        before = old_state.name if old_state else ""
        if (before, new_state.name) != (pybreaker.STATE_HALF_OPEN, pybreaker.STATE_OPEN):
            self._changes[new_state.name].inc()
        level = logging.WARNING if new_state.name == pybreaker.STATE_OPEN else logging.INFO
        log(
            _LOG, level, "breaker_changed",
            dependency=self.name, before=before, after=new_state.name, reason=self._last_error,
        )  # fmt: skip


def _is_no_failure(error: BaseException) -> bool:
    """Whether the dependency did its part: it answered with an error of ours, or the verdict comes too late."""
    if isinstance(error, _LateError):
        return True
    return isinstance(error, ApiError) and not isinstance(error, DependencyFailedError)
