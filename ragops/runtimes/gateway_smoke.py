"""Asks a running gateway whether it does what is in its new configuration."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from cryptography.hazmat.primitives.serialization import Encoding

from ragops.services.gateway.certificate import load, read_served, trust_any
from ragops.services.gateway.policy import CONFIGURATION_HEADER, WORKER_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ragops.services.gateway.configuration import SmokeTest

_LIVE_SECONDS = 5.0
_SMOKE_SECONDS = 1.0
_REQUEST_SECONDS = 2.0
_POLL = 0.05
_SHOWN = "ragops_certificate"  # of an answer: what the server showed, DER


def live_configuration(test: SmokeTest) -> str | None:
    """Return the mark of the configuration that a gateway works by, as its ready path states it; empty without one.

    None if no gateway answers.
    """
    try:
        return str(_get(test).headers.get(CONFIGURATION_HEADER, ""))
    except (httpx.HTTPError, OSError):
        return None


def back_in_force(test: SmokeTest, before: str | None) -> str:
    """Whether the gateway works again by the configuration with the mark `before`, as text for an error."""
    again = replace(test, headers={CONFIGURATION_HEADER: before or ""})
    if before and not live_in_every_worker(again):
        return "the last good configuration is back in force"
    return "the last good configuration was put back, but the gateway does not answer by it"


def smoke(tests: Sequence[SmokeTest]) -> str:
    """Return nothing when all tests pass, else what is wrong. The first shows that the new configuration is live."""
    return _within(lambda: _first_failure(tests[:1]), _LIVE_SECONDS) or rest(tests)


def rest(tests: Sequence[SmokeTest]) -> str:
    """Return the same for a configuration that is live."""
    return _within(lambda: _first_failure(tests), _SMOKE_SECONDS)


def live_in_every_worker(test: SmokeTest) -> str:
    """Wait until every process of the gateway passes `test`; return what is wrong after 5 s, else nothing.

    Which of them takes a connection is chance: it is asked until each has answered so.
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

    return _within(missing, _LIVE_SECONDS, poll=0.0)


def _within(failure: Callable[[], str], seconds: float, poll: float = _POLL) -> str:
    """Return nothing as soon as nothing fails, else what failed when the time was up."""
    deadline = time.monotonic() + seconds
    while (found := failure()) and time.monotonic() < deadline:
        time.sleep(poll)
    return found


def _first_failure(tests: Sequence[SmokeTest]) -> str:
    return next((found for test in tests if (found := _failure(test))), "")


def _failure(test: SmokeTest) -> str:
    """Return what is wrong with the answer to `test`; empty if nothing is."""
    try:
        return _fault(test, _get(test))
    except (httpx.HTTPError, OSError) as error:
        return _silent(test, error)


def _silent(test: SmokeTest, error: Exception) -> str:
    return f"{test.url} does not answer ({type(error).__name__})"


def _fault(test: SmokeTest, answer: httpx.Response) -> str:
    if test.ca and not _shows_certificate(answer, Path(test.ca)):
        return f"{test.url} shows another certificate than {test.ca}"
    if answer.status_code not in test.statuses:
        return f"{test.url} answers {answer.status_code} instead of {test.statuses[0]}"
    for name, value in test.headers.items():
        if answer.headers.get(name) != value:
            return f"{test.url} still answers by another configuration"
    return ""


def _shows_certificate(answer: httpx.Response, path: Path) -> bool:
    try:
        expected = load(path).public_bytes(Encoding.DER)
    except (OSError, ValueError):
        return False
    return bool(answer.extensions[_SHOWN] == expected)


def _get(test: SmokeTest) -> httpx.Response:
    # Which certificate it shows is compared in the answer: one of the user's own is for other names than loopback's,
    # and is in use even after its end. Nothing secret is sent.
    with httpx.Client(verify=trust_any(), timeout=_REQUEST_SECONDS, trust_env=False) as client:
        answer = client.get(test.url)
        answer.extensions[_SHOWN] = read_served(answer)
        return answer
