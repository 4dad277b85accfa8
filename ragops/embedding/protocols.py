"""What is sent to servers of models and how their answers are read, for the protocols of Ollama and OpenAI.

Pure functions: ingest uses them synchronously, the API asynchronously.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ragops.embedding.spec import ChatSpec, ModelSpec

CONNECT_SECONDS = 5.0
_PATHS = {
    "ollama": {"embed": "/api/embed", "chat": "/api/chat", "ready": "/api/version"},
    "openai": {"embed": "/embeddings", "chat": "/chat/completions", "ready": "/models"},
}
_TITLES = {"ollama": "Ollama", "openai": "the model server"}
_MOST_TEXT = 200
_MOST_WAIT = 3600.0


class Fault(Enum):
    """What is wrong with an answer: SLOW is one that did not come in time, REFUSED is due to the text that was sent."""

    DOWN = "unreachable"
    SLOW = "slow"
    BUSY = "busy"
    KEY = "key_refused"
    MISSING = "model_missing"
    REFUSED = "refused"
    FAILED = "failed"
    UNREADABLE = "answer_unreadable"


class ServerError(Exception):
    """A call of a server of models failed; its text holds neither key nor address. `wait` in seconds, if it said so."""

    def __init__(self, fault: Fault, text: str, wait: float | None = None) -> None:
        super().__init__(text)
        self.fault = fault
        self.wait = wait


def base_url(kind: str, url: str) -> str:
    """Return the URL that paths are relative to; OpenAI's paths are below /v1, which may be left out."""
    bare = url.rstrip("/")
    return f"{bare}/v1" if kind == "openai" and not bare.endswith("/v1") else bare


def path(kind: str, what: str) -> str:
    """Return the path of `embed`, `chat` or `ready`."""
    return _PATHS[kind][what]


def title(kind: str) -> str:
    """Return what messages call the server."""
    return _TITLES[kind]


def headers(key: str) -> dict[str, str]:
    """Return the headers of a request with a key, which may be empty."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def embed_body(spec: ModelSpec, texts: Sequence[str]) -> dict[str, Any]:
    """Return the JSON of a request for vectors; `texts` have their prefix already. Ollama cuts one that is too long."""
    if spec.kind == "openai":
        return {"model": spec.model, "input": list(texts), "encoding_format": "float"}
    body: dict[str, Any] = {"model": spec.model, "input": list(texts), "truncate": True}
    body["keep_alive"] = _duration(spec.keep_alive)
    if spec.context is not None:
        body["options"] = {"num_ctx": spec.context}
    return body


def chat_body(spec: ChatSpec, messages: Sequence[Mapping[str, str]], *, stream: bool) -> dict[str, Any]:
    """Return the JSON of a request for an answer."""
    body: dict[str, Any] = {"model": spec.model, "messages": list(messages), "stream": stream}
    if spec.kind == "openai":
        return {**body, "max_tokens": spec.max_tokens}
    options = {"num_ctx": spec.context, "num_predict": spec.max_tokens}
    return {**body, "keep_alive": _duration(spec.keep_alive), "options": options}


def read_vectors(kind: str, answer: Any, count: int, dimensions: int | None) -> list[list[float]]:
    """Return the vectors of an answer; ServerError (REFUSED) if they are not `count` finite ones of `dimensions`."""
    vectors = _openai_vectors(answer) if kind == "openai" else _value(answer, "embeddings")
    if not isinstance(vectors, list) or len(vectors) != count:
        raise ServerError(Fault.REFUSED, f"the answer does not hold {count} embeddings")
    for vector in vectors:
        if not isinstance(vector, list) or not vector:
            raise ServerError(Fault.REFUSED, "the answer holds an embedding without numbers")
        wanted = dimensions if dimensions is not None else len(vectors[0])
        if len(vector) != wanted:
            raise ServerError(Fault.REFUSED, f"the model gives vectors of {len(vector)} dimensions, not {wanted}")
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in vector):
            raise ServerError(Fault.REFUSED, "the answer holds something else than finite numbers")
    return [[float(value) for value in vector] for vector in vectors]


def read_chat(kind: str, answer: Any) -> str:
    """Return the text of an answer. Raises ServerError (UNREADABLE)."""
    try:
        message = answer["choices"][0]["message"] if kind == "openai" else answer["message"]
        return str(message["content"] or "").strip()
    except (KeyError, TypeError, IndexError) as error:
        raise ServerError(Fault.UNREADABLE, "its answer is not one of a chat model") from error


def read_answer(response: httpx.Response, key: str = "") -> Any:
    """Return the JSON of a good answer. Raises ServerError."""
    status = response.status_code
    if status == httpx.codes.OK:
        try:
            return response.json()
        except ValueError as error:
            raise ServerError(Fault.UNREADABLE, "its answer is not JSON") from error
    if status in (401, 403):  # its text may repeat the key
        raise ServerError(Fault.KEY, "it refuses the key" if key else "it asks for a key")
    text = _error_text(response, key)
    fault = {404: Fault.MISSING, 429: Fault.BUSY, 503: Fault.BUSY, 502: Fault.DOWN, 504: Fault.DOWN}.get(status)
    if fault is None:
        fault = Fault.REFUSED if 400 <= status < 500 else Fault.FAILED
    raise ServerError(fault, text, _wait(response) if fault is Fault.BUSY else None)


def call_error(error: httpx.HTTPError, seconds: float) -> ServerError:
    """Return the failure of a call without an answer, which was given `seconds`."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ServerError(Fault.DOWN, "cannot be reached")
    if isinstance(error, httpx.TimeoutException):
        return ServerError(Fault.SLOW, f"slow: no answer within {seconds:g} s")
    return ServerError(Fault.DOWN, "the connection broke")


def _openai_vectors(answer: Any) -> Any:
    rows = _value(answer, "data")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    places = [row.get("index", place) for place, row in enumerate(rows)]
    if sorted(places, key=str) != sorted(range(len(rows)), key=str):
        return None
    return [row.get("embedding") for _, row in sorted(zip(places, rows, strict=True), key=lambda pair: pair[0])]


def _value(answer: Any, name: str) -> Any:
    return answer.get(name) if isinstance(answer, dict) else None


def _error_text(response: httpx.Response, key: str) -> str:
    try:
        values = response.json()
        found = next(values[name] for name in ("error", "message", "detail") if values.get(name))
        text = str(found["message"] if isinstance(found, dict) else found)
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        text = f"status {response.status_code}"
    return (text.replace(key, "***") if key else text)[:_MOST_TEXT]


def _wait(response: httpx.Response) -> float | None:
    """Return the seconds of Retry-After: a number, or a date."""
    text = response.headers.get("retry-after", "").strip()
    try:
        seconds = float(text) if text.replace(".", "", 1).isdigit() else _until(text)
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), _MOST_WAIT)


def _until(text: str) -> float:
    moment = parsedate_to_datetime(text)
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


def _duration(keep_alive: str) -> int | float | str:
    """Return it as Ollama reads it: text with a unit, or a number of seconds."""
    if keep_alive[-1:].isalpha():
        return keep_alive
    return float(keep_alive) if "." in keep_alive else int(keep_alive)
