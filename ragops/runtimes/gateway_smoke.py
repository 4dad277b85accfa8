"""Asks a running gateway whether it does what its new configuration says."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING

import httpx

from ragops.services.gateway.policy import WORKER_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ragops.services.gateway.configuration import SmokeTest

_LIVE_SECONDS = 5.0
_SMOKE_SECONDS = 1.0
_REQUEST_SECONDS = 2.0
_POLL = 0.05


def answers(test: SmokeTest) -> bool:
    """Whether a gateway runs, whatever it says."""
    try:
        _get(test)
    except (httpx.HTTPError, OSError):
        return False
    return True


def smoke(tests: Sequence[SmokeTest]) -> str:
    """Empty when all tests pass, else what is wrong. The first one tells that the new configuration is live."""
    return _within(lambda: _first_failure(tests[:1]), _LIVE_SECONDS) or rest(tests)


def rest(tests: Sequence[SmokeTest]) -> str:
    """The same where it is known to be live."""
    return _within(lambda: _first_failure(tests), _SMOKE_SECONDS)


def live_in_every_worker(test: SmokeTest, seconds: float = _LIVE_SECONDS) -> str:
    """Empty once every process of the gateway that takes requests passes `test`, else what is wrong after `seconds`.

    Which of them takes a connection is chance: it is asked until each has said so.
    """
    passed: set[str] = set()

    def missing() -> str:
        try:
            answer = _get(test)
        except (httpx.HTTPError, OSError) as error:
            return _silent(test, error)
        worker, _, of = answer.headers.get(WORKER_HEADER, "").partition("/")
        if fault := _fault(test, answer):
            passed.discard(worker)
            return fault
        passed.add(worker)
        return "" if len(passed) >= int(of or 1) else f"only {len(passed)} of {of} workers of the gateway answered"

    return _within(missing, seconds, poll=0.0)


def _within(failure: Callable[[], str], seconds: float, poll: float = _POLL) -> str:
    """Empty as soon as nothing fails, else what failed when the time was up."""
    deadline = time.monotonic() + seconds
    while (found := failure()) and time.monotonic() < deadline:
        time.sleep(poll)
    return found


def _first_failure(tests: Sequence[SmokeTest]) -> str:
    return next((found for test in tests if (found := _failure(test))), "")


def _failure(test: SmokeTest) -> str:
    """What is wrong with the answer to `test`; empty where nothing is."""
    try:
        return _fault(test, _get(test))
    except (httpx.HTTPError, OSError) as error:
        return _silent(test, error)


def _silent(test: SmokeTest, error: Exception) -> str:
    return f"{test.url} does not answer ({type(error).__name__})"


def _fault(test: SmokeTest, answer: httpx.Response) -> str:
    if answer.status_code not in test.statuses:
        return f"{test.url} answers {answer.status_code} instead of {test.statuses[0]}"
    for name, value in test.headers.items():
        if answer.headers.get(name) != value:
            return f"{test.url} still answers by another configuration"
    return ""


def _get(test: SmokeTest) -> httpx.Response:
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # nobody is trusted but the gateway's own certificate
    if test.ca:
        trust.load_verify_locations(test.ca)
    with httpx.Client(verify=trust, timeout=_REQUEST_SECONDS, trust_env=False) as client:
        return client.get(test.url)
