"""The breaker alone: what opens it, who is the trial, whose verdict counts."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import pytest

from ragops.api.breakers import Breaker
from ragops.api.config import BreakerConfig
from ragops.api.dependency_errors import CircuitOpenError, DependencyFailedError
from ragops.api.logs import JsonFormatter
from ragops.api.metrics import Metrics
from ragops.api.problem import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.unit.api.fakes import Clock

pytestmark = pytest.mark.anyio


class Dependency:
    """Counts its calls; each waits for the gate, then fails with `error` where there is one."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> str:
        self.calls += 1
        error = self.error
        await self.gate.wait()
        if error:
            raise error
        return "answer"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def breaker(clock: Clock, metrics: Metrics) -> Breaker:
    return Breaker("qdrant", BreakerConfig(failures=5, reset_seconds=30), 60, clock, metrics)


@pytest.fixture
async def dependency() -> Dependency:
    return Dependency()


async def fail(breaker: Breaker, dependency: Dependency, times: int) -> None:
    dependency.error = DependencyFailedError("qdrant", "cannot be reached")
    for _ in range(times):
        with pytest.raises(DependencyFailedError):
            await breaker.call(dependency)
    dependency.error = None


async def outcomes(calls: list[Awaitable[str]]) -> list[str]:
    results = await asyncio.gather(*calls, return_exceptions=True)
    return [result if isinstance(result, str) else type(result).__name__ for result in results]


async def test_opens_after_five_failures_in_a_row_and_then_touches_nothing(breaker, dependency, clock):
    await fail(breaker, dependency, 4)
    assert await breaker.call(dependency) == "answer"
    await fail(breaker, dependency, 4)
    assert breaker.state().state == "closed", "failures count in a row only"
    await fail(breaker, dependency, 1)
    assert breaker.state().state == "open"
    touched = dependency.calls
    clock.move(29.5)
    with pytest.raises(CircuitOpenError) as refused:
        await breaker.call(dependency)
    assert refused.value.status == 503
    assert refused.value.headers["Retry-After"] == "1", "whole seconds, rounded up"
    assert dependency.calls == touched
    assert breaker.state().refused == 1


async def test_the_failure_that_opens_it_is_told_as_itself(breaker, dependency):
    await fail(breaker, dependency, 4)
    dependency.error = DependencyFailedError("qdrant", "answers 500")
    with pytest.raises(DependencyFailedError, match="answers 500"):
        await breaker.call(dependency)
    assert breaker.state().last_error == "qdrant: answers 500"


async def test_half_open_lets_exactly_one_call_through(breaker, dependency, clock):
    await fail(breaker, dependency, 5)
    clock.move(30)
    dependency.calls = 0
    dependency.gate.clear()
    calls = [asyncio.ensure_future(breaker.call(dependency)) for _ in range(50)]
    await asyncio.sleep(0.01)
    assert dependency.calls == 1
    assert breaker.state().state == "half-open"
    dependency.gate.set()
    assert sorted(await outcomes(calls)) == ["CircuitOpenError"] * 49 + ["answer"]
    assert breaker.state().state == "closed"
    assert await breaker.call(dependency) == "answer"


async def test_a_trial_that_fails_opens_it_for_the_whole_time_again(breaker, dependency, clock):
    await fail(breaker, dependency, 5)
    clock.move(30)
    await fail(breaker, dependency, 1)
    assert breaker.state().state == "open"
    assert breaker.state().retry_after == 30
    clock.move(29)
    with pytest.raises(CircuitOpenError):
        await breaker.call(dependency)
    clock.move(1)
    assert await breaker.call(dependency) == "answer"
    assert breaker.state().state == "closed"


async def test_calls_overlap_no_lock_is_held_while_they_wait(breaker, dependency):
    dependency.gate.clear()
    calls = [asyncio.ensure_future(breaker.call(dependency)) for _ in range(20)]
    await asyncio.sleep(0.01)
    assert dependency.calls == 20
    dependency.gate.set()
    assert await outcomes(calls) == ["answer"] * 20


async def test_late_failures_neither_prolong_the_pause_nor_end_the_trial(breaker, dependency, clock):
    dependency.gate.clear()
    dependency.error = DependencyFailedError("qdrant", "slow")
    late = [asyncio.ensure_future(breaker.call(dependency)) for _ in range(10)]
    await asyncio.sleep(0.01)
    slow_gate, dependency.gate = dependency.gate, asyncio.Event()
    dependency.gate.set()
    await fail(breaker, dependency, 5)
    clock.move(30)
    trial_gate = dependency.gate = asyncio.Event()
    trial = asyncio.ensure_future(breaker.call(dependency))
    await asyncio.sleep(0.01)
    slow_gate.set()
    assert await outcomes(late) == ["DependencyFailedError"] * 10
    assert breaker.state().state == "half-open"
    trial_gate.set()
    assert await trial == "answer"
    assert breaker.state().state == "closed"


async def test_a_burst_of_failures_opens_it_once(breaker, dependency, metrics):
    dependency.gate.clear()
    dependency.error = DependencyFailedError("qdrant", "cannot be reached")
    calls = [asyncio.ensure_future(breaker.call(dependency)) for _ in range(30)]
    await asyncio.sleep(0.01)
    dependency.gate.set()
    assert await outcomes(calls) == ["DependencyFailedError"] * 30
    changes = metrics.registry.get_sample_value(
        "ragops_api_breaker_changes_total", {"dependency": "qdrant", "state": "open"}
    )
    assert changes == 1


async def test_a_client_who_leaves_does_not_decide(breaker, dependency, clock):
    """Neither as a failure (anybody could open the breaker by leaving) nor by taking the trial with him."""
    dependency.gate.clear()
    calls = [asyncio.ensure_future(breaker.call(dependency)) for _ in range(10)]
    await asyncio.sleep(0.01)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert breaker.state().failures == 0
    dependency.gate.set()
    await asyncio.sleep(0.01)
    await fail(breaker, dependency, 5)
    clock.move(30)
    dependency.gate.clear()
    trial = asyncio.ensure_future(breaker.call(dependency))
    await asyncio.sleep(0.01)
    trial.cancel()
    await asyncio.gather(trial, return_exceptions=True)
    with pytest.raises(CircuitOpenError):
        await breaker.call(dependency)
    dependency.gate.set()
    await asyncio.sleep(0.01)
    assert breaker.state().state == "closed", "the trial went on and closed it"


async def test_an_answer_that_says_no_is_no_failure(breaker, dependency):
    await fail(breaker, dependency, 4)
    dependency.error = ApiError(404, "collection_not_found", "there is no collection x")
    with pytest.raises(ApiError, match="there is no collection"):
        await breaker.call(dependency)
    assert breaker.state().failures == 0


async def test_no_answer_in_time_is_a_failure(clock, metrics):
    breaker = Breaker("qdrant", BreakerConfig(failures=1, reset_seconds=30), 0.01, clock, metrics)

    async def hang() -> None:
        await asyncio.sleep(60)

    with pytest.raises(DependencyFailedError, match="no answer within"):
        await breaker.call(hang)
    assert breaker.state().state == "open"


async def test_changes_are_logged_and_counted(breaker, dependency, clock, metrics, caplog):
    caplog.set_level(logging.INFO)
    await fail(breaker, dependency, 5)
    clock.move(30)
    await breaker.call(dependency)
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    changes = [(line["before"], line["after"]) for line in lines if line["message"] == "breaker_changed"]
    assert changes == [("closed", "open"), ("open", "half-open"), ("half-open", "closed")]
    assert lines[0]["reason"] == "qdrant: cannot be reached"
    value: Callable[..., float | None] = metrics.registry.get_sample_value
    for state in ("open", "half-open", "closed"):
        assert value("ragops_api_breaker_changes_total", {"dependency": "qdrant", "state": state}) == 1
    assert value("ragops_api_breaker_state", {"dependency": "qdrant"}) == 0
    assert value("ragops_api_dependency_calls_total", {"dependency": "qdrant", "outcome": "failed"}) == 5


async def test_a_long_outage_is_one_opening(breaker, dependency, clock, metrics):
    await fail(breaker, dependency, 5)
    for _ in range(6):
        clock.move(30)
        await fail(breaker, dependency, 1)
    assert breaker.state().state == "open"
    clock.move(30)
    dependency.error = None
    await breaker.call(dependency)
    value: Callable[..., float | None] = metrics.registry.get_sample_value
    found = {
        state: value("ragops_api_breaker_changes_total", {"dependency": "qdrant", "state": state})
        for state in ("open", "half-open", "closed")
    }
    assert found == {"open": 1, "half-open": 7, "closed": 1}


async def test_closing_ends_what_runs(breaker, dependency):
    dependency.gate.clear()
    call = asyncio.ensure_future(breaker.call(dependency))
    await asyncio.sleep(0.01)
    await breaker.close()
    with pytest.raises(asyncio.CancelledError):
        await call
