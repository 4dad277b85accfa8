"""Failures of a request to Qdrant, the same for REST and gRPC, and ragops' errors for them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import httpx

from ragops.errors import MissingError, RagopsError, UnhealthyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NO_ANSWER = 0
LOG_HINT = "see `ragops logs qdrant`"
_NOT_SUPPORTED, _DISK_FULL = 501, 507
# These concern the request or the whole service, whichever node is asked.
_SAME_EVERYWHERE = (_NOT_SUPPORTED, _DISK_FULL)


@dataclass(frozen=True)
class Failure:
    """`status` in HTTP's numbers, NO_ANSWER without one; `reason` holds no address, `detail` is the server's text."""

    status: int
    reason: str
    detail: str = ""

    @property
    def is_of_node(self) -> bool:
        """Whether another node may answer the same request."""
        if self.status in _SAME_EVERYWHERE:
            return False
        return self.status in (NO_ANSWER, 408) or self.status >= 500

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class RequestFailedError(Exception):
    """A request failed; raised inside ragops only, each caller translates it to an error of its own."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def request_error(failure: Failure, name: str) -> RagopsError:
    """Return the error of a request to the server called `name`.

    UnhealthyError (qdrant_unreachable), MissingError (qdrant_key_refused, qdrant_not_supported, disk_full), RagopsError
    (qdrant_not_found, qdrant_exists, qdrant_error).
    """
    match failure.status:
        case 0:
            return UnhealthyError("qdrant_unreachable", f"{name}: {failure}", f"`ragops status`; {LOG_HINT}")
        case 401 | 403:
            what = f"{name} refuses the key: {failure.detail}"
            return MissingError("qdrant_key_refused", what, "`ragops up` renews it")
        case 501:
            return MissingError("qdrant_not_supported", f"{name}: {failure.detail}", "use a Qdrant server")
        case 507:
            hint = "free some space, then run the command again"
            return MissingError("disk_full", f"{name}: {failure.detail}", hint)
    code = {404: "qdrant_not_found", 409: "qdrant_exists"}.get(failure.status, "qdrant_error")
    return RagopsError(code, f"{name} {failure}", LOG_HINT)


@contextmanager
def suppress_missing() -> Iterator[None]:
    """End the block if a collection is not there: its owner may delete it at any time."""
    try:
        yield
    except RagopsError as error:
        if error.code != "qdrant_not_found":
            raise


def client_error(failure: Failure, name: str, then: str = "then run the command again") -> RagopsError:
    """Return the error of a call that was repeated at every node; `then` ends the hint if there was no answer.

    As `request_error`, and UnhealthyError (qdrant_unreachable) also for servers that are overloaded or fail.
    """
    if failure.is_of_node or failure.status == 429:
        hint = f"`ragops health qdrant`; {LOG_HINT}; {then}"
        return UnhealthyError("qdrant_unreachable", f"{name}: {failure}", hint)
    if failure.status in (404, 409):
        return RagopsError("qdrant_error", f"{name} {failure}", LOG_HINT)
    return request_error(failure, name)


def no_answer(error: httpx.HTTPError) -> str:
    """Return why there was no answer, without an address."""
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return "cannot be reached" if isinstance(error, httpx.ConnectError) else "the connection broke"


def error_text(content: bytes) -> str:
    """Return the text of an error in the body of a response, at most 300 characters of it."""
    try:
        return str(json.loads(content)["status"]["error"])[:300]
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")[:200].strip()


T = TypeVar("T")
_ATTEMPTS = 4
_LOST = "consensus operation commit failed"


def retry_consensus(change: Callable[[], T], done_before: str = "") -> T | None:
    """Return the result of `change`, repeated if consensus lost it.

    A node passes a change on to the leader. If that leader is gone the change is lost, and the node waits for it until
    its time-out (seen on 1.18.3). `done_before` is the code of the error that a repeated change meets if the first one
    was carried out after all; None is returned then. Raises as `change` does.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return change()
        except RagopsError as error:
            if attempt > 1 and error.code == done_before:
                return None
            if attempt == _ATTEMPTS or _LOST not in error.message:
                raise
    raise AssertionError("unreachable")
