"""The pieces of an answer while a chat model writes them, for the protocols of Ollama and OpenAI."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import httpx

from ragops.adapters.qdrant.failures import no_answer
from ragops.api.breakers import DependencyFailedError
from ragops.embedding.ollama import read_error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

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


async def stream_chat(
    http: httpx.AsyncClient,
    name: str,
    path: str,
    body: Mapping[str, Any],
    read: Callable[[str], tuple[str, bool]],
) -> AsyncGenerator[str]:
    """Send `body` and yield the pieces of the answer; the time-outs are those of `http`, for each piece.

    Raises DependencyFailedError if the server fails, before the first piece or between two.
    """
    try:
        async with http.stream("POST", path, json=body) as response:
            if response.status_code != httpx.codes.OK:
                await response.aread()
                raise DependencyFailedError(name, read_error(response))
            async with aclosing(response.aiter_lines()) as lines:  # type: ignore[type-var]  # a generator, typed less
                async for line in lines:
                    text, is_last = read(line) if line.strip() else ("", False)
                    if text:
                        yield text
                    if is_last:
                        return
    except httpx.HTTPError as error:
        raise DependencyFailedError(name, no_answer(error)) from error
    except ValueError as error:
        raise DependencyFailedError(name, f"its answer cannot be read: {error}") from error
    raise DependencyFailedError(name, "its answer ended before its last piece")


def _object(text: str) -> dict[str, Any]:
    values = json.loads(text)
    if not isinstance(values, dict):
        raise UnreadablePieceError(f"not an object: {text[:80]}")
    return values
