"""Each run has a cancel token of its own: cancelled once, cancelled for good."""

from __future__ import annotations

import threading

import pytest

from ragops.adapters import cancellation
from ragops.adapters.background import BackgroundTask, cancel_all
from ragops.adapters.wait import wait_until
from ragops.errors import InterruptedRunError


def test_a_thread_that_outlives_its_run_stays_cancelled_in_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would write into the staging folder and the repository of the next run otherwise."""
    monkeypatch.setattr("ragops.adapters.background._GRACE", 0.05)
    free, steps = threading.Event(), list[str]()

    def work() -> None:
        free.wait(20)  # deaf at first, as a call to a server that does not answer
        cancellation.check()
        steps.append("wrote")

    with cancellation.new_run():
        task = BackgroundTask(work)
        cancel_all([task])
        assert not task.is_done, "else this test shows nothing"
    with cancellation.new_run() as second:
        cancellation.check()
        free.set()
        with pytest.raises(InterruptedRunError):
            wait_for(task)
        assert not second.is_cancelled
    assert steps == []
    cancellation.check()


def wait_for(task: BackgroundTask[None]) -> None:
    assert task.wait(20)
    if task.failure:
        raise task.failure


def test_a_run_inside_another_ends_with_it_unless_it_is_shielded() -> None:
    with cancellation.new_run() as outer:
        with cancellation.new_run() as inner, cancellation.new_run(shielded=True) as shielded:
            outer.cancel()
            assert (inner.is_cancelled, shielded.is_cancelled) == (True, False)
        with pytest.raises(InterruptedRunError), cancellation.new_run():
            cancellation.check()


def test_a_cancelled_run_does_not_end_the_one_around_it() -> None:
    with cancellation.new_run() as outer:
        with cancellation.new_run() as inner:
            inner.cancel()
        cancellation.check()
        assert not outer.is_cancelled


# --- wait_until ------------------------------------------------------------------------------------------------------


def test_the_first_true_value_is_returned_and_the_last_false_one_after_the_time_out() -> None:
    values = iter(["", "", "there"])
    assert wait_until(lambda: next(values), 20, 0.001) == "there"
    assert wait_until(lambda: 0, 0.01, 0.001) == 0


def test_a_condition_is_asked_once_more_at_the_deadline() -> None:
    asked: list[int] = []
    assert not wait_until(lambda: asked.append(1), 0.01, 60)
    assert len(asked) == 2


def test_waiting_ends_with_the_run() -> None:
    with cancellation.new_run() as run:
        threading.Timer(0.05, run.cancel).start()
        with pytest.raises(InterruptedRunError):
            wait_until(lambda: False, 60, 60)
