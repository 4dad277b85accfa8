"""Calls for the same thing that overlap are one call; questions and look-ups of the service use it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from ragops.api.load_shedding import STANDING_SECONDS, TARGET_SECONDS
from ragops.api.single_flight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.api.conftest import Api
    from tests.unit.api.fakes import FakeQdrant

pytestmark = pytest.mark.anyio


class Call:
    """Counts its calls; each waits for the gate, then returns its number or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.count = 0
        self.gate = asyncio.Event()
        self.error = error

    async def __call__(self) -> int:
        self.count += 1
        number = self.count
        await self.gate.wait()
        if self.error:
            raise self.error
        return number


async def started(*waiting: Any) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.create_task(one) for one in waiting]
    await asyncio.sleep(0.01)
    return tasks


async def test_overlapping_calls_are_one_and_later_ones_are_new() -> None:
    flight, call = SingleFlight[int](), Call()
    tasks = await started(*(flight.run("a", call) for _ in range(5)))
    assert (len(flight), "a" in flight, "b" in flight) == (1, True, False)
    call.gate.set()
    assert await asyncio.gather(*tasks) == [1] * 5
    assert await flight.run("a", call) == 2
    assert len(flight) == 0


async def test_other_keys_are_other_calls() -> None:
    flight, call = SingleFlight[int](), Call()
    tasks = await started(flight.run("a", call), flight.run("b", call))
    call.gate.set()
    assert sorted(await asyncio.gather(*tasks)) == [1, 2]


async def test_all_callers_get_the_error_and_the_next_call_is_new() -> None:
    flight, call = SingleFlight[int](), Call(ValueError("no"))
    tasks = await started(*(flight.run("a", call) for _ in range(3)))
    call.gate.set()
    assert [str(one) for one in await asyncio.gather(*tasks, return_exceptions=True)] == ["no"] * 3
    call.error = None
    assert await flight.run("a", call) == 2


async def test_a_caller_that_leaves_takes_nothing_from_the_others() -> None:
    flight, call = SingleFlight[int](), Call()
    first, second = await started(flight.run("a", call), flight.run("a", call))
    first.cancel()
    await asyncio.sleep(0)
    call.gate.set()
    assert await second == 1
    assert first.cancelled()


async def test_after_a_change_callers_begin_calls_of_their_own() -> None:
    flight, call = SingleFlight[int](), Call()
    [before] = await started(flight.run("a", call))
    flight.forget()
    after, again = await started(flight.run("a", call), flight.run("a", call))
    call.gate.set()
    assert await asyncio.gather(before, after, again) == [1, 2, 2]
    assert len(flight) == 0


async def test_the_same_question_at_once_is_searched_once(api: Api, qdrant: FakeQdrant) -> None:
    qdrant.delay = 0.2
    answers = await asyncio.gather(*(api.search("rotation of secrets") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert len(qdrant.asked) == 1
    assert (await api.search("rotation of secrets")).status_code == 200
    assert len(qdrant.asked) == 2


async def test_each_caller_of_a_search_that_fails_is_told_so(api: Api, qdrant: FakeQdrant) -> None:
    qdrant.delay, qdrant.fail = 0.1, 500
    answers = await asyncio.gather(*(api.search("rotation of secrets") for _ in range(5)))
    assert {(one.status_code, one.json()["code"]) for one in answers} == {(503, "dependency_failed")}
    assert len({one.json()["request_id"] for one in answers}) == 5


async def test_a_new_question_is_refused_while_the_loop_is_late_and_one_under_way_is_not(
    start: Callable[..., Any], qdrant: FakeQdrant
) -> None:
    api = await start()
    qdrant.delay = 0.3
    [running] = await started(api.search("rotation of secrets"))
    delay = api.deps.overload.delay
    delay.stop()
    now = delay._due
    for number in range(3):
        delay.measure(now + number * STANDING_SECONDS, TARGET_SECONDS * 1.5)
    refused = await api.search("append only file")
    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    assert (await api.search("rotation of secrets")).status_code == 200, "it waits for the one that runs"
    assert (await running).status_code == 200
    assert len(qdrant.asked) == 1
