"""Answers as they are written: server-sent events (WHATWG HTML, 9.2), with a comment if there is none for a while."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
from fastapi.responses import StreamingResponse

from ragops.api.problem import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from starlette.types import Message

MEDIA_TYPE = "text/event-stream"
_EXAMPLE = 'event: text\ndata: {"text": "Two secrets are valid"}\n\n'
STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": _EXAMPLE}},
        "description": "The answer, at once or in events",
    }
}
# Below the time-outs of gateways and proxies for a silent connection; a model may think for longer.
_HEARTBEAT_SECONDS = 10.0
_CLOSING_SECONDS = 5.0
_HEARTBEAT = b": waiting\n\n"


class Event(NamedTuple):
    """One event: its name, and its data, which is JSON on a single line."""

    name: str
    data: str

    @classmethod
    def of(cls, name: str, values: Any) -> Event:
        """Return the event with `values`, in ASCII: many clients split lines at more signs than these events do."""
        return cls(name, json.dumps(values))

    def encode(self) -> bytes:
        """Return it as it is sent."""
        return f"event: {self.name}\ndata: {self.data}\n\n".encode()


class EventStream(StreamingResponse):
    """The response with `first` and all that follows; it ends what makes the events when the client leaves."""

    def __init__(self, first: Event, following: AsyncGenerator[Event]) -> None:
        # nginx, and with it Kong, buffers what an upstream sends unless it is ordered not to.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(_encode(first, following), media_type=MEDIA_TYPE, headers=headers)


def accepts_events(accept: str) -> bool:
    """Return whether a client asks for events: it names them, with a weight above 0."""
    for choice in accept.split(","):
        kind, *parameters = (part.strip().casefold() for part in choice.split(";"))
        if kind == MEDIA_TYPE:
            weights = [value for value in parameters if value.startswith("q=")]
            with suppress(ValueError):
                return not weights or float(weights[0].removeprefix("q=")) > 0
    return False


def is_event_stream(message: Message) -> bool:
    """Return whether the start of a response announces events."""
    kind = next((value for name, value in message["headers"] if name == b"content-type"), b"")
    return kind.startswith(MEDIA_TYPE.encode())


async def _encode(first: Event, following: AsyncGenerator[Event]) -> AsyncIterator[bytes]:
    yield first.encode()
    waiting: asyncio.Future[Event] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(following))
            done, _ = await asyncio.wait({waiting}, timeout=_HEARTBEAT_SECONDS)
            if not done:
                yield _HEARTBEAT
                continue
            event, waiting = waiting, None
            try:
                yield event.result().encode()
            except StopAsyncIteration:
                return
            except ApiError as error:  # too late for a status
                yield Event("error", bytes(error.response().body).decode()).encode()
                return
    finally:
        # The scope of a client that has left cancels every wait inside of it, those of the clean-up too.
        with anyio.move_on_after(_CLOSING_SECONDS, shield=True):
            if waiting is not None:
                waiting.cancel()
                await asyncio.wait({waiting})
            await following.aclose()
