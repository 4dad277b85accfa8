"""The pieces of an answer while a chat model writes them, for the protocols of Ollama and OpenAI."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import httpx

from ragops.embedding.protocols import Fault, ServerError, read_answer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from ragops.api.problem import ApiError

_END_OF_EVENTS = "[DONE]"  # OpenAI's last event


class UnreadablePieceError(ValueError):
    """A line of the stream is not one of the protocol; its text is the reason."""


def read_ollama(line: str) -> tuple[str, bool]:
    """Return the text of a line of `POST /api/chat` (JSON), and whether it is the last one. Raises ValueError."""
    values = _object(line)
    if "error" in values:
        raise UnreadablePieceError(str(values["error"])[:200])
    message = values.get("message")
    text = message.get("content") if isinstance(message, dict) else None
    return (text if isinstance(text, str) else ""), values.get("done") is True


def read_openai(line: str) -> tuple[str, bool]:
    """Return the text of a line of `POST /v1/chat/completions` (server-sent events), and whether it is the last one.

    Raises ValueError.
    """
    field, _, data = line.partition(":")
    data = data.strip()
    if field != "data":
        return "", False
    if data == _END_OF_EVENTS:
        return "", True
    values = _object(data)
    if "error" in values:
        raise UnreadablePieceError(str(values["error"])[:200])
    choices = values.get("choices")
    delta = choices[0].get("delta") if isinstance(choices, list) and choices else None
    text = delta.get("content") if isinstance(delta, dict) else None
    return (text if isinstance(text, str) else ""), False


READERS = {"ollama": read_ollama, "openai": read_openai}


async def stream_chat(
    http: httpx.AsyncClient,
    request: httpx.Request,
    read: Callable[[str], tuple[str, bool]],
    failed: Callable[[httpx.HTTPError | ServerError], ApiError],
) -> AsyncGenerator[str]:
    """Send `request` and yield the pieces of the answer; the time-outs are those of `http`, for each piece.

    Raises ApiError, made by `failed`, if the server fails, before the first piece or between two.
    """
    try:
        response = await http.send(request, stream=True)
        async with aclosing(response):
            if response.status_code != httpx.codes.OK:
                await response.aread()
                key = request.headers.get("authorization", "").removeprefix("Bearer ")
                read_answer(response, key)
            async with aclosing(response.aiter_lines()) as lines:  # type: ignore[type-var]  # a generator, typed less
                async for line in lines:
                    text, is_last = read(line) if line.strip() else ("", False)
                    if text:
                        yield text
                    if is_last:
                        return
    except (httpx.HTTPError, ServerError) as error:
        raise failed(error) from error
    except ValueError as error:
        raise failed(ServerError(Fault.UNREADABLE, f"its answer cannot be read: {error}")) from error
    raise failed(ServerError(Fault.DOWN, "its answer ended before its last piece"))


def _object(text: str) -> dict[str, Any]:
    values = json.loads(text)
    if not isinstance(values, dict):
        raise UnreadablePieceError(f"not an object: {text[:80]}")
    return values
