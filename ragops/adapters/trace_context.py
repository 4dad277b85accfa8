"""The W3C trace context of what runs now, and the place where spans begin, whatever records them.

Without a recorder a span costs a call, and the context of the caller is passed on as it came.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[ -~]{0,200})?")
_MOST_STATE = 512
_ID = slice(3, 35)


class TraceContext(NamedTuple):
    """The headers `traceparent` and `tracestate` of calls; both empty without a trace."""

    parent: str = ""
    state: str = ""


NONE = TraceContext()
current: ContextVar[TraceContext] = ContextVar("trace_context", default=NONE)


class Recorder(Protocol):
    """Records spans."""

    def span(self, name: str, attributes: Mapping[str, str], *, is_call: bool) -> AbstractContextManager[object]:
        """Record the block; what it calls gets the span as its parent."""

    def detached(self, name: str, attributes: Mapping[str, str]) -> AbstractContextManager[object]:
        """Record a block of a generator, which may end in another task than it began in."""


class _Nothing:
    """Records nothing."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_error: object) -> None: ...


_NOTHING = _Nothing()
_recorders: list[Recorder] = []  # at most one


def record_with(recorder: Recorder | None) -> None:
    """Have all spans of this process recorded by `recorder`, by none if it is None."""
    _recorders[:] = [recorder] if recorder else []


def span(name: str, *, is_call: bool = False, **attributes: str) -> AbstractContextManager[object]:
    """Record the block, if spans are recorded; `is_call` if it waits for another service."""
    return _recorders[0].span(name, attributes, is_call=is_call) if _recorders else _NOTHING


def detached_span(name: str, **attributes: str) -> AbstractContextManager[object]:
    """Record the block of a generator, if spans are recorded."""
    return _recorders[0].detached(name, attributes) if _recorders else _NOTHING


def read(parent: str, state: str = "") -> TraceContext:
    """Return the context of a request's headers, NONE if there is none that is valid."""
    if not parent or not _PARENT.fullmatch(parent):
        return NONE
    return TraceContext(parent, state if state.isascii() and state.isprintable() and len(state) <= _MOST_STATE else "")


def trace_id() -> str:
    """Return the id of the trace that runs now, empty without one."""
    return current.get().parent[_ID]


def headers() -> dict[str, str]:
    """Return the headers that pass the context on."""
    parent, state = current.get()
    if not parent:
        return {}
    return {"traceparent": parent, "tracestate": state} if state else {"traceparent": parent}
