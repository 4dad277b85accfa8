"""Load shedding: a burst is waited for, a queue that stays is not, and what watches the service is always answered."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ragops.api.load_shedding import STANDING_SECONDS, TARGET_SECONDS, LoadShedding, LoopDelay
from ragops.api.metrics import Metrics

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
    assert delay.is_overload() is overload


def test_each_turn_takes_what_it_can_do() -> None:
    delay, moment = after(LATE, LATE, LATE, IN_TIME)
    assert not delay.is_overload()
    moment.seconds += TARGET_SECONDS * 1.01
    assert delay.is_overload()


async def _answer(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answered"})


async def _ask(app: Any, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://api") as client:
        return await client.get(path)


@pytest.mark.anyio
async def test_refuses_with_a_time_to_come_back() -> None:
    metrics = Metrics()
    app = LoadShedding(_answer, after(LATE, LATE, LATE)[0], metrics)
    refused = await _ask(app, "/api/v1/search")
    assert refused.status_code == 503
    assert refused.json()["code"] == "overloaded"
    assert 1 <= int(refused.headers["retry-after"]) <= 3
    assert refused.headers["retry-after"] in refused.json()["detail"]
    assert metrics.registry.get_sample_value("ragops_api_requests_shed_total") == 1


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/internal/breakers"])
@pytest.mark.anyio
async def test_what_watches_the_service_is_always_answered(path: str) -> None:
    metrics = Metrics()
    app = LoadShedding(_answer, after(LATE, LATE, LATE)[0], metrics)
    assert (await _ask(app, path)).status_code == 200
    assert metrics.registry.get_sample_value("ragops_api_requests_shed_total") == 0


@pytest.mark.anyio
async def test_takes_everything_while_it_keeps_up() -> None:
    assert (await _ask(LoadShedding(_answer, after(IN_TIME, IN_TIME, IN_TIME)[0], Metrics()), "/search")).is_success


@pytest.mark.anyio
async def test_passes_on_what_is_no_request() -> None:
    passed: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        passed.append(scope)

    async def nothing(*_: object) -> Message:
        raise AssertionError("not called")

    await LoadShedding(app, after(LATE, LATE, LATE)[0], Metrics())({"type": "lifespan"}, nothing, nothing)
    assert passed == [{"type": "lifespan"}]


@pytest.mark.anyio
async def test_measures_a_loop_that_is_held_up_and_one_that_is_free_again() -> None:
    delay = LoopDelay(time.monotonic)
    delay.start()
    try:
        seen = []
        for _ in range(8):  # far longer than a standing queue: each turn holds the loop for two targets
            time.sleep(TARGET_SECONDS * 2)  # what a loop with too much to do looks like
            await asyncio.sleep(0.001)
            seen.append(delay.is_overload())
        assert seen[0] is False
        assert any(seen)
        for _ in range(200):
            await asyncio.sleep(0.05)
            if not delay.is_overload() and not delay._standing:
                break
        assert not delay._standing
    finally:
        delay.stop()
