"""Bodies in, answers out: sizes are bounded, errors have Qdrant's shape."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from ragops.devserver.qdrant.errors import ApiError, bad_input, malformed, no_space, translate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

    from ragops.devserver.qdrant.values import Json

LARGEST_BODY = 32 << 20
# What is read and thrown away of a larger one, so that its sender gets to read the answer.
_DRAINED = 4 * LARGEST_BODY
_BODY_SECONDS = 60.0
_SPARE_BYTES = 64 << 20
_log = logging.getLogger(__name__)


def answer(result: Any, started: float, status: int = 200) -> JSONResponse:
    """Return the response of a success; `started` is by the monotonic clock."""
    return JSONResponse({"result": result, "status": "ok", "time": time.monotonic() - started}, status)


def failure(error: ApiError, started: float) -> JSONResponse:
    """Return the response of a failure."""
    return JSONResponse({"status": {"error": error.message}, "time": time.monotonic() - started}, error.status)


def endpoint(path: str, handler: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    """Wrap a handler that returns a result or raises; `path` is its pattern, for metrics."""

    async def serve(request: Request) -> Response:
        started = time.monotonic()
        request.scope["ragops.pattern"] = path
        try:
            return answer(await handler(request), started)
        except ClientDisconnect:
            return failure(ApiError(400, "the client went away"), started)
        except Exception as error:
            translated = translate(error)
            if translated.status == 500:
                extra = {"request_id": request.scope.get("ragops.request_id", "")}
                _log.exception("failed: %s", translated.message, extra=extra)
            return failure(translated, started)

    return serve


async def json_body(request: Request, engine_run: Callable[..., Awaitable[Any]]) -> Json:
    """Return the body as an object. Raises ApiError (400, 408, 413)."""
    raw = await _read(request)
    value = await engine_run(_parse, raw)
    if not isinstance(value, dict):
        raise malformed("expected an object")
    return value


async def _read(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    body, size = bytearray(), 0
    async with _deadline():
        async for chunk in request.stream():
            size += len(chunk)
            if size <= LARGEST_BODY:
                body += chunk
            elif size > _DRAINED:
                break
    if size > LARGEST_BODY:
        what = f"JSON payload ({max(size, int(declared))} bytes) is larger than allowed (limit: {LARGEST_BODY} bytes)."
        raise ApiError(413, what)
    return bytes(body)


@asynccontextmanager
async def _deadline() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            yield
    except TimeoutError as error:
        raise ApiError(408, f"Timeout: the body did not arrive within {_BODY_SECONDS:.0f} s") from error


def _parse(raw: bytes) -> Any:
    if not raw:
        raise malformed("EOF while parsing a value at line 1 column 0")
    try:
        return json.loads(raw, parse_constant=_no_constant)
    except RecursionError:
        raise malformed("recursion limit exceeded") from None
    except ValueError as error:
        raise malformed(str(error)) from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


@asynccontextmanager
async def uploaded(request: Request, folder: Path, free: Callable[[], int]) -> AsyncIterator[Path]:
    """Yield the file `snapshot` of a multipart form, streamed into `folder` and gone when the block ends.

    Raises ApiError: 400 where the form is not whole, 507 before the disk is full.
    """
    path = folder / uuid4().hex
    try:
        with path.open("xb") as stream:
            path.chmod(0o600)
            await _receive(request, _Form(request.headers.get("content-type", ""), stream.write), free)
        yield path
    finally:
        path.unlink(missing_ok=True)


class _Form:
    """Writes the data of the part called `snapshot`; `is_found` and `is_ended` are of it and of the whole form."""

    def __init__(self, content_type: str, write: Callable[[bytes], Any]) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise bad_input("expected multipart/form-data with a boundary")
        self.is_found = self.is_ended = False
        self._is_wanted, self._header, self._write = False, b"", write
        callbacks: Any = {
            "on_part_begin": partial(setattr, self, "_header", b""),
            "on_header_value": self._add_header,
            "on_headers_finished": self._choose,
            "on_part_data": lambda data, start, end: self._write(data[start:end]) if self._is_wanted else None,
            "on_end": partial(setattr, self, "is_ended", True),
        }
        self._parser = MultipartParser(options[b"boundary"], callbacks)

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body. Raises ApiError (400)."""
        try:
            self._parser.write(data)
        except ApiError:
            raise
        except Exception as error:
            raise bad_input(f"the form cannot be read: {error}") from error

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _choose(self) -> None:
        self._is_wanted = b'name="snapshot"' in self._header
        self.is_found = self.is_found or self._is_wanted


async def _receive(request: Request, form: _Form, free: Callable[[], int]) -> None:
    iterator = request.stream().__aiter__()
    while True:
        async with _deadline():
            chunk = await anext(iterator, None)
        if chunk is None:
            break
        if free() < _SPARE_BYTES:
            raise no_space()
        form.feed(chunk)
    if not form.is_found or not form.is_ended:
        raise bad_input("the form is not whole, or has no file `snapshot`")
