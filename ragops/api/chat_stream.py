"""The pieces of an answer while a chat model writes them, for the protocols of Ollama and OpenAI."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

import httpx

from ragops.embedding.protocols import Fault, ServerError
from ragops.embedding.responses import MOST_BYTES, Piece, add_bytes, read_chat, read_line, read_response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from ragops.api.problem import ApiError

_MOST_LINE = 1 << 20


async def stream_chat(
    http: httpx.AsyncClient,
    request: httpx.Request,
    kind: str,
    failed: Callable[[httpx.HTTPError | ServerError], ApiError],
) -> AsyncGenerator[Piece]:
    """Send `request` and yield the pieces of the answer; the time-outs are those of `http`, for each read.

    Raises ApiError, made by `failed`, if the server fails, before the first piece or between two.
    """
    key = request.headers.get("authorization", "").removeprefix("Bearer ")
    try:
        response = await http.send(request, stream=True)
        async with aclosing(response):
            if response.status_code != httpx.codes.OK or _is_whole(response):
                yield read_chat(kind, read_response(response, await read_body(response, MOST_BYTES), key))
                return
            is_ended = False
            async with aclosing(_lines(response)) as lines:
                async for line in lines:
                    piece = read_line(kind, line, key) if line.strip() else Piece()
                    is_ended = is_ended or piece.is_last
                    if piece.text or piece.is_cut:
                        yield piece
    except (httpx.HTTPError, ServerError) as error:
        raise failed(error) from error
    if not is_ended:
        raise failed(ServerError(Fault.DOWN, "its answer ended before its last piece"))


async def read_body(response: httpx.Response, most: int) -> bytes:
    """Return the body of an answer of at most so many bytes. Raises ServerError, httpx.HTTPError."""
    content = bytearray()
    async for part in response.aiter_bytes():
        add_bytes(content, part, most)
    return bytes(content)


def _is_whole(response: httpx.Response) -> bool:
    """Return whether the server answers at once although it was asked for pieces."""
    return bool(response.headers.get("content-type", "").partition(";")[0].strip() == "application/json")


async def _lines(response: httpx.Response) -> AsyncGenerator[str]:
    """Yield the lines, which end with LF, CR LF or CR alone.

    Not by httpx: it also splits at other signs, such as U+2028, which JSON may have inside of a text.
    """
    waiting = b""
    async for part in response.aiter_bytes():
        *lines, waiting = (waiting + part).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")
        if len(waiting) > _MOST_LINE:
            raise ServerError(Fault.UNREADABLE, "its answer cannot be read: a line is too long")
    yield waiting.decode("utf-8", "replace")
