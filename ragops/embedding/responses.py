"""How answers of servers of models are read, for the protocols of Ollama and OpenAI: nothing in them is trusted."""

from __future__ import annotations

import base64
import json
import math
import re
import struct
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from ragops.embedding.protocols import Fault, ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_BYTES = 8 << 20  # of an answer of a chat model, or of an error
_BYTES_OF_NUMBER, _MOST_DIMENSIONS = 32, 65536
_MOST_TEXT = 200
_MOST_WAIT = 3600.0
_LARGEST = 3.4e38  # of the 32 bits that a vector store keeps of a number
_UNKNOWN = re.compile(r"model_not_found|model\b.*(?:not found|not exist|unknown)", re.IGNORECASE)
# Why a model ended before it was done.
_CUT = frozenset({"length", "max_tokens"})
_FAULTS = {
    404: Fault.MISSING, 408: Fault.SLOW, 429: Fault.BUSY, 502: Fault.DOWN, 503: Fault.BUSY, 504: Fault.SLOW,
}  # fmt: skip


class Piece(NamedTuple):
    """A part of an answer. `is_cut`: the model had to stop before its end; `is_last`: nothing of it follows."""

    text: str = ""
    is_cut: bool = False
    is_last: bool = False


def most_bytes(count: int, dimensions: int | None) -> int:
    """Return the size of the largest sensible answer with `count` vectors."""
    return MOST_BYTES + count * (dimensions or _MOST_DIMENSIONS) * _BYTES_OF_NUMBER


def add_bytes(read: bytearray, more: bytes, most: int) -> None:
    """Append `more` to what was read of an answer. Raises ServerError if it is larger than it may be."""
    read += more
    if len(read) > most:
        raise ServerError(Fault.UNREADABLE, f"its answer is larger than {most >> 20} MiB")


def read_response(response: httpx.Response, content: bytes, key: str = "") -> Any:
    """Return the JSON of a good answer, whose body is `content`. Raises ServerError."""
    status = response.status_code
    if status == httpx.codes.OK:
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ServerError(Fault.UNREADABLE, "its answer is not JSON") from error
    if status in (401, 403):  # its text may repeat the key
        raise ServerError(Fault.KEY, "it refuses the key" if key else "it asks for a key")
    text = _error_text(content, key)
    if response.is_redirect:
        where = httpx.URL(response.headers.get("location", "")).host
        raise ServerError(Fault.UNREADABLE, f"redirects to {where or 'another place'}, which is not followed")
    if status in (404, 405) and "model" not in text.lower():
        raise ServerError(Fault.UNREADABLE, f"answers {status} to {response.request.url.path}")
    fault = _FAULTS.get(status, Fault.REFUSED if 400 <= status < 500 else Fault.FAILED)
    if fault is Fault.REFUSED and _UNKNOWN.search(text):
        fault = Fault.MISSING
    wait = _wait(response.headers.get("retry-after", "").strip()) if fault is Fault.BUSY else None
    raise ServerError(fault, text or f"status {status}", wait)


def read_vectors(kind: str, answer: Any, count: int, dimensions: int | None) -> list[list[float]]:
    """Return the vectors of an answer; ServerError (REFUSED) if they are not `count` finite ones of `dimensions`."""
    vectors = _openai_vectors(answer) if kind == "openai" else _value(answer, "embeddings")
    if not isinstance(vectors, list) or len(vectors) != count:
        raise ServerError(Fault.REFUSED, f"the answer does not hold {count} embeddings")
    found: list[list[float]] = []
    for one in vectors:
        vector = _numbers(one)
        wanted = dimensions if dimensions is not None else len(found[0] if found else vector)
        if len(vector) != wanted:
            raise ServerError(Fault.REFUSED, f"the model gives vectors of {len(vector)} dimensions, not {wanted}")
        found.append(vector)
    return found


def has_model(kind: str, answer: Any, model: str) -> bool:
    """Return whether a list of models has `model`, or does not list it: llama.cpp takes any name for its only one."""
    rows = _value(answer, "data" if kind == "openai" else "models")
    if not isinstance(rows, list) or any(_value(row, "owned_by") == "llamacpp" for row in rows):
        return True
    # Ollama lists its models with their tags by both protocols, and takes them without.
    wanted, name = {model.casefold(), f"{model}:latest".casefold()}, "id" if kind == "openai" else "name"
    return any(str(_value(row, name)).casefold() in wanted for row in rows)


def read_chat(kind: str, answer: Any) -> Piece:
    """Return a whole answer. Raises ServerError (UNREADABLE)."""
    try:
        part = answer["choices"][0] if kind == "openai" else answer
        text = part["message"]["content"]
        reason = part.get("finish_reason" if kind == "openai" else "done_reason")
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ServerError(Fault.UNREADABLE, "its answer is not one of a chat model") from error
    return Piece(_text(text).strip(), is_cut=reason in _CUT, is_last=True)


def read_line(kind: str, line: str, key: str = "") -> Piece:
    """Return what a line of a streamed answer holds, which is nothing for most kinds of lines. Raises ServerError."""
    if kind == "ollama":
        values = _object(line, key)
        is_last = values.get("done") is True
        return Piece(_text(_value(values.get("message"), "content")), values.get("done_reason") in _CUT, is_last)
    field, _, data = line.partition(":")
    if field.strip() != "data":  # a comment, the name of an event
        return Piece()
    if data.strip() == "[DONE]":
        return Piece(is_last=True)
    choices = _object(data, key).get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    reason = _value(choice, "finish_reason")
    return Piece(_text(_value(_value(choice, "delta"), "content")), reason in _CUT, is_last=bool(reason))


def _object(text: str, key: str) -> Mapping[str, Any]:
    """Return the values of a line. Raises ServerError: if it holds none, or the error that the server met."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ServerError(Fault.UNREADABLE, "its answer cannot be read: a line is not JSON") from error
    if not isinstance(values, dict):
        raise ServerError(Fault.UNREADABLE, "its answer cannot be read: a line is not an object")
    if values.get("error"):
        raise ServerError(Fault.FAILED, f"it failed while it wrote: {_error_text(text.encode(), key)}")
    return values


def _numbers(vector: Any) -> list[float]:
    if isinstance(vector, str):  # some servers encode numbers of 32 bits although they are asked for text
        try:
            raw = base64.b64decode(vector, validate=True)
            vector = list(struct.unpack(f"<{len(raw) // 4}f", raw))
        except (ValueError, struct.error):
            vector = None
    if not isinstance(vector, list) or not vector:
        raise ServerError(Fault.REFUSED, "the answer holds an embedding without numbers")
    if not all(_is_number(value) for value in vector):
        raise ServerError(Fault.REFUSED, "the answer holds something else than finite numbers")
    return [float(value) for value in vector]


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, float | int) and not isinstance(value, bool)
    return is_number and -_LARGEST <= value <= _LARGEST and not math.isnan(value)


def _openai_vectors(answer: Any) -> Any:
    rows = _value(answer, "data")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    places = [place if row.get("index") is None else row["index"] for place, row in enumerate(rows)]
    if not all(type(place) is int for place in places) or sorted(places) != list(range(len(rows))):
        return None
    return [row.get("embedding") for _, row in sorted(zip(places, rows, strict=True), key=lambda pair: pair[0])]


def _value(answer: Any, name: str) -> Any:
    return answer.get(name) if isinstance(answer, dict) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _error_text(content: bytes, key: str) -> str:
    """Return what the server reports, without the key; empty if there is nothing that can be read."""
    try:
        values = json.loads(content)
        found = next(values[name] for name in ("error", "message", "detail") if values.get(name))
        text = str(found["message"] if isinstance(found, dict) else found)
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration, RecursionError):
        return ""
    return (text.replace(key, "***") if key else text)[:_MOST_TEXT]


def _wait(text: str) -> float | None:
    """Return the seconds of Retry-After: a number, or a date."""
    try:
        seconds = float(text) if text.replace(".", "", 1).isdigit() else _until(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), _MOST_WAIT)


def _until(text: str) -> float:
    moment = parsedate_to_datetime(text)
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
