"""Pings of a monitoring service before and after a nightly run. A ping that fails does not fail the run."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import httpx

_TRIES = 3
_LIMIT = 10.0
_PAUSE = 2.0


def ping(url: str, body: str | None = None, *, limit: float = _LIMIT) -> str:
    """Request `url`: GET, or POST if there is a `body`; at most three tries of `limit` seconds.

    Returns an empty text on success, else one line with the reason. It names the host alone: paths hold
    tokens. Raises nothing.
    """
    answers: list[str] = []
    # In a thread: httpx does not bound the time of a name server, nor of a server that sends single bytes.
    worker = threading.Thread(target=lambda: answers.append(_try(url, body, limit)), daemon=True)
    worker.start()
    worker.join(_TRIES * (limit + _PAUSE))
    failure = answers[0] if answers else "it did not end in time"
    return f"cannot ping {_host(url)}: {failure}" if failure else ""


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "its URL"
    except ValueError:
        return "its URL"


def _try(url: str, body: str | None, limit: float) -> str:
    import httpx
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random

    try:
        with httpx.Client(timeout=limit, follow_redirects=True) as client:
            for attempt in Retrying(
                stop=stop_after_attempt(_TRIES),
                wait=wait_random(_PAUSE / 8, _PAUSE),
                retry=retry_if_exception(_is_transient),
                reraise=True,
            ):
                with attempt:
                    _ask(client, url, body)
    except Exception as error:  # whatever it is: no backup fails for a ping
        return _reason(error)
    return ""


def _ask(client: httpx.Client, url: str, body: str | None) -> None:
    method, content = ("GET", None) if body is None else ("POST", body.encode(errors="replace"))
    with client.stream(method, url, content=content) as answer:  # the body of the answer is not read
        answer.raise_for_status()


def _is_transient(error: BaseException) -> bool:
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code == 429
    return isinstance(error, httpx.TransportError)


def _reason(error: Exception) -> str:
    """Return the reason without the URL, which the text of the error contains."""
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return f"it answered {error.response.status_code}"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.ConnectError):
        return "it cannot be reached"
    return type(error).__name__
