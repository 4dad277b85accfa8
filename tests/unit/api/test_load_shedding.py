"""Load shedding: a burst is waited for, a queue that stays is not, and what watches the service is always answered."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ragops.api.load_shedding import (
    MOST_SECONDS,
    SEARCHES_OF_NODE,
    STANDING_SECONDS,
    TARGET_SECONDS,
    LoadShedding,
    LoopDelay,
    Overload,
)
from ragops.api.metrics import Metrics
from ragops.api.problem import ApiError

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

LATE, IN_TIME = TARGET_SECONDS * 2, TARGET_SECONDS / 2


class Moment:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def after(*lateness: float, every: float = STANDING_SECONDS / 2) -> tuple[LoopDelay, Moment]:
    """A delay that measured these in turn, `every` seconds apart."""
    moment = Moment()
    delay = LoopDelay(moment)
    for seconds in lateness:
        delay.measure(moment.seconds, seconds)
        delay._due = moment.seconds
        moment.seconds += every
    moment.seconds -= every
    return delay, moment


@pytest.mark.parametrize(
    ("lateness", "overload"),
    [
        ([], False),
        ([LATE], False),
        ([LATE, LATE], False),
        ([LATE, LATE, LATE], True),
        ([LATE, LATE, IN_TIME, LATE], False),
        ([LATE, LATE, LATE, IN_TIME], False),
        ([LATE, LATE, LATE, IN_TIME, LATE], True),
        ([LATE, LATE, LATE, IN_TIME, IN_TIME, IN_TIME, LATE], False),
    ],
    ids=["new", "once", "shorter than a standing queue", "stays", "interrupted", "this turn is in time",
         "soon again", "over"],
)  # fmt: skip
def test_only_a_queue_that_stays_is_an_overload(lateness: list[float], overload: bool) -> None:
    delay, _moment = after(*lateness)
    assert delay.is_longer(TARGET_SECONDS) is overload


def test_each_turn_takes_what_it_can_do() -> None:
    delay, moment = after(LATE, LATE, LATE, IN_TIME)
    assert not delay.is_longer(TARGET_SECONDS)
    moment.seconds += TARGET_SECONDS * 1.01
    assert delay.is_longer(TARGET_SECONDS)


async def _answer(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answered"})


async def _ask(app: Any, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://api") as client:
        return await client.get(path)


def overloaded(*lateness: float) -> tuple[Overload, Metrics]:
    metrics = Metrics()
    overload = Overload(time.monotonic, 1, metrics)
    overload.delay = after(*lateness)[0]
    return overload, metrics


@pytest.mark.anyio
async def test_refuses_with_a_time_to_come_back() -> None:
    overload, metrics = overloaded(*[MOST_SECONDS * 2] * 3)
    refused = await _ask(LoadShedding(_answer, overload), "/api/v1/search")
    assert refused.status_code == 503
    assert refused.json()["code"] == "overloaded"
    assert 1 <= int(refused.headers["retry-after"]) <= 3
    assert refused.headers["retry-after"] in refused.json()["detail"]
    assert metrics.registry.get_sample_value("ragops_api_requests_shed_total") == 1


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/internal/breakers"])
async def test_what_watches_the_service_is_always_answered(path: str) -> None:
    overload, metrics = overloaded(*[MOST_SECONDS * 2] * 3)
    assert (await _ask(LoadShedding(_answer, overload), path)).status_code == 200
    assert metrics.registry.get_sample_value("ragops_api_requests_shed_total") == 0


@pytest.mark.anyio
@pytest.mark.parametrize("late", [IN_TIME, LATE])
async def test_takes_what_it_can_answer(late: float) -> None:
    app = LoadShedding(_answer, overloaded(late, late, late)[0])
    assert (await _ask(app, "/api/v1/search")).status_code == 200


@pytest.mark.anyio
async def test_passes_on_what_is_no_request() -> None:
    passed: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        passed.append(scope)

    async def nothing(*_: object) -> Message:
        raise AssertionError("not called")

    await LoadShedding(app, overloaded(*[MOST_SECONDS * 2] * 3)[0])({"type": "lifespan"}, nothing, nothing)
    assert passed == [{"type": "lifespan"}]


def test_refuses_a_search_too_many_whatever_the_loop_does() -> None:
    overload, _metrics = overloaded(IN_TIME)
    overload.check(TARGET_SECONDS, SEARCHES_OF_NODE - 1)
    with pytest.raises(ApiError) as caught:
        overload.check(TARGET_SECONDS, SEARCHES_OF_NODE)
    assert (caught.value.status, caught.value.code) == (503, "overloaded")


@pytest.mark.anyio
async def test_measures_a_loop_that_is_held_up_and_one_that_is_free_again() -> None:
    delay = LoopDelay(time.monotonic)
    delay.start()
    try:
        seen = []
        for _ in range(8):  # far longer than a standing queue: each turn holds the loop for two targets
            time.sleep(TARGET_SECONDS * 2)  # what a loop with too much to do looks like
            await asyncio.sleep(0.001)
            seen.append(delay.is_longer(TARGET_SECONDS))
        assert seen[0] is False
        assert any(seen)
        for _ in range(200):
            await asyncio.sleep(0.05)
            if not delay.is_longer(TARGET_SECONDS) and not delay._standing:
                break
        assert not delay._standing
    finally:
        delay.stop()
