"""Threads of one run: never more than the limit, ended by the first failure and by an interrupt."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters import cancellation
from ragops.adapters.background import BackgroundTask, TaskPool, cancel_all, join_all, raise_failure
from ragops.errors import InterruptedRunError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def _own_run() -> Iterator[None]:
    with cancellation.new_run():
        yield


class Crowd:
    """Tasks that wait for one another: `most` at once there ever were."""

    def __init__(self, wanted: int) -> None:
        self.most, self.now, self.done = 0, 0, 0
        self._turn = threading.Lock()
        self._meeting = threading.Barrier(wanted)

    def task(self, meet: bool = True) -> None:
        with self._turn:
            self.now += 1
            self.most = max(self.most, self.now)
        if meet:
            self._meeting.wait(20)
        with self._turn:
            self.now -= 1
            self.done += 1


def nothing() -> None:
    """A task without work."""


def fail(code: str = "told_to") -> None:
    raise RagopsError(code, "told to fail")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_as_many_as_allowed_go_on_at_once(count: int) -> None:
    crowd = Crowd(count)
    TaskPool(count).run_all([crowd.task] * (4 * count))  # each waits until `count` are there
    assert (crowd.most, crowd.done) == (count, 4 * count)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_limit_is_never_exceeded_whoever_asks(count: int) -> None:
    crowd, limit = Crowd(1), TaskPool(count)
    askers = [BackgroundTask(lambda: limit.run_all([crowd.task] * 25)) for _ in range(4)]
    join_all(askers)
    assert crowd.done == 100
    assert crowd.most <= count


def test_no_tasks_are_done_at_once() -> None:
    TaskPool(3).run_all([])


def test_fewer_tasks_than_allowed() -> None:
    crowd = Crowd(2)
    TaskPool(8).run_all([crowd.task, crowd.task])
    assert crowd.done == 2


def test_the_first_failure_stops_the_rest() -> None:
    done: list[int] = []

    def task(number: int) -> None:
        done.append(number)
        if number == 3:
            fail()

    with pytest.raises(RagopsError) as caught:
        TaskPool(1).run_all([partial(task, number) for number in range(50)])
    assert caught.value.code == "told_to"
    assert done == [0, 1, 2, 3]


def test_what_had_begun_when_one_failed_is_over_when_that_is_told() -> None:
    failed, ended = threading.Event(), threading.Event()

    def failing() -> None:
        failed.set()
        fail()

    def slow() -> None:
        failed.wait(20)
        threading.Event().wait(0.2)
        ended.set()

    with pytest.raises(RagopsError):
        TaskPool(2).run_all([slow, failing, *[lambda: pytest.fail("begun")] * 20])
    assert ended.is_set()


def test_one_that_waits_for_its_turn_is_not_begun_after_a_failure() -> None:
    """Its place is taken by somebody else's task, and free again only when all is lost."""
    limit, begun = TaskPool(2), []
    place, free, blocked = threading.Event(), threading.Event(), threading.Event()

    def other() -> None:
        blocked.set()
        free.wait(20)

    def failing() -> None:
        place.wait(20)
        fail()

    asker = BackgroundTask(lambda: limit.run_all([other]))
    blocked.wait(20)
    mine = BackgroundTask(lambda: limit.run_all([failing, lambda: begun.append(1)]))
    threading.Event().wait(0.2)  # until the second one waits for a place
    place.set()
    threading.Event().wait(0.2)
    free.set()
    with pytest.raises(RagopsError):
        mine.result()
    asker.result()
    assert begun == []


def test_any_kind_of_failure_is_passed_on() -> None:
    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        TaskPool(2).run_all([leave])


def test_an_interrupt_ends_those_that_wait_and_begins_no_more() -> None:
    begun: list[int] = []

    def task() -> None:
        begun.append(1)
        cancellation.sleep(60)

    job = BackgroundTask(lambda: TaskPool(2).run_all([task] * 10))
    while len(begun) < 2:
        threading.Event().wait(0.01)
    cancellation.current().cancel()
    with pytest.raises(InterruptedRunError):
        job.result()
    assert len(begun) == 2


def test_those_that_are_interrupted_may_clear_up_before_the_caller_goes_on() -> None:
    began, cleared = threading.Event(), threading.Event()

    def task() -> None:
        try:
            began.set()
            cancellation.sleep(60)
        finally:
            threading.Event().wait(0.3)
            cleared.set()

    job = BackgroundTask(lambda: TaskPool(2).run_all([task]))
    began.wait(20)
    cancellation.current().cancel()
    assert job.wait(20)
    assert cleared.is_set()


def test_end_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragops.adapters.background._GRACE", 0.2)
    forever = threading.Event()
    deaf = [BackgroundTask(lambda: bool(forever.wait(60)) and None) for _ in range(3)]
    cancel_all(deaf)
    assert cancellation.current().is_cancelled
    assert not any(job.is_done for job in deaf), "else this test shows nothing"
    forever.set()
    assert all(job.wait(20) for job in deaf)


# --- jobs ---------------------------------------------------------------------------------------------------------


def test_a_job_gives_its_value_or_its_failure() -> None:
    assert BackgroundTask(lambda: 7).result() == 7
    with pytest.raises(RagopsError):
        BackgroundTask(fail).result()


def test_an_interrupt_while_a_job_is_started_does_not_lose_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C may come after its thread has begun and before anybody has the job."""
    free, real, known = threading.Event(), threading.Thread.start, []

    def start(thread: threading.Thread) -> None:
        real(thread)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(threading.Thread, "start", start)
        BackgroundTask(lambda: free.wait(20), "", known)
    (job,) = known
    assert not job.is_done
    free.set()
    assert job.wait(20)


def test_waiting_for_a_job_ends_with_the_run() -> None:
    free = threading.Event()
    job: BackgroundTask[Any] = BackgroundTask(lambda: free.wait(60))
    cancellation.current().cancel()
    with pytest.raises(InterruptedRunError):
        job.result()
    free.set()
    assert job.wait(20)


def test_the_cause_is_told_before_what_follows_from_it() -> None:
    def follows() -> None:
        raise InterruptedRunError("interrupted", "interrupted")

    jobs = [BackgroundTask(follows), BackgroundTask(lambda: fail("cause")), BackgroundTask(nothing)]
    with pytest.raises(RagopsError) as caught:
        join_all(jobs)
    assert caught.value.code == "cause"
    raise_failure([BackgroundTask(nothing)])


def test_threads_do_not_keep_a_process_alive() -> None:
    free = threading.Event()
    job: BackgroundTask[Any] = BackgroundTask(lambda: free.wait(60), "ragops-test-daemon")
    (thread,) = [item for item in threading.enumerate() if item.name == "ragops-test-daemon"]
    assert thread.daemon
    free.set()
    assert job.wait(20)
