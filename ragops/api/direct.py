"""The busiest operations without the work that a framework does for every request: POST of a question, its answer.

A request is answered here only if it is plainly valid, by the function that the operation of FastAPI calls as well.
All others are passed to FastAPI unchanged, which finds what is wrong with them: there is one set of rules and errors.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from ragops.api.problem import ApiError
from ragops.api.streaming import accepts_events

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from pydantic import BaseModel
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ragops.api.dependencies import Dependencies

_JSON = b"application/json"


class Operation(NamedTuple):
    """What a body has to be, and what answers it, in JSON; raises ApiError."""

    model: type[BaseModel]
    answer: Callable[[Dependencies, Any, str], Awaitable[bytes]]


class Direct:
    """Innermost: answers requests to `operations`, by path; the body comes in one message (`middleware.BodyLimit`)."""

    def __init__(self, app: ASGIApp, deps: Dependencies, operations: Mapping[str, Operation]) -> None:
        self._app = app
        self._deps = deps
        self._operations = operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        operation = self._operations.get(scope["path"]) if scope["type"] == "http" else None
        if operation is None or scope["method"] != "POST" or not _is_json_alone(scope["headers"]):
            await self._app(scope, receive, send)
            return
        message = await receive()
        asked = _read(operation.model, message)
        if asked is None:
            await self._app(scope, _before(message, receive), send)
            return
        try:
            content = await operation.answer(self._deps, asked, scope["state"]["consumer"])
        except ApiError as error:
            await error.response()(scope, receive, send)
            return
        headers = [(b"content-length", b"%d" % len(content)), (b"content-type", _JSON)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def _is_json_alone(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request states that it is JSON, and does not ask for events."""
    kind = None
    for name, value in headers:
        if name == b"content-type" and kind is None:
            kind = value
        elif name == b"accept" and accepts_events(value.decode("latin-1")):
            return False
    return kind is not None and kind.partition(b";")[0].strip().lower() == _JSON


def _read(model: type[BaseModel], message: Message) -> Any:
    """Return the body as FastAPI reads it, None if it is not valid."""
    if message["type"] != "http.request" or message.get("more_body"):
        return None
    try:
        return model.model_validate(json.loads(message["body"]), from_attributes=True)
    except (ValueError, RecursionError, ValidationError):
        return None


def _before(message: Message, receive: Receive) -> Receive:
    """Return a `receive` that gives `message` first."""
    waiting = [message]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
