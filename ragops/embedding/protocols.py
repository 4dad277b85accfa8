"""What is sent to servers of models, for the protocols of Ollama and OpenAI; `answers` reads what comes back.

Pure functions: ingest uses them synchronously, the API asynchronously.
"""

from __future__ import annotations

import re
import ssl
from enum import Enum
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ragops.embedding.spec import ChatSpec, ModelSpec

CONNECT_SECONDS = 5.0
_PATHS = {
    "ollama": {"embed": "/api/embed", "chat": "/api/chat", "models": "/api/tags"},
    "openai": {"embed": "/embeddings", "chat": "/chat/completions", "models": "/models"},
}
_TITLES = {"ollama": "Ollama", "openai": "the model server"}
_VERSION = re.compile(r"/v\d\w*(?:/|$)")
_TOO_LONG = re.compile(r"context|too (?:long|large|many)|exceed|maximum", re.IGNORECASE)


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
    """A call of a model server failed; its text holds neither key nor address. `wait`: seconds, if it asks for them."""

    def __init__(self, fault: Fault, text: str, wait: float | None = None) -> None:
        super().__init__(text)
        self.fault = fault
        self.wait = wait

    @property
    def is_too_long(self) -> bool:
        """Whether the server took none of the text because there is too much of it."""
        return self.fault is Fault.REFUSED and _TOO_LONG.search(str(self)) is not None


def base_url(kind: str, url: str) -> str:
    """Return the URL that paths are relative to; OpenAI's paths are below a version, /v1 if the URL has none."""
    bare = url.rstrip("/")
    return f"{bare}/v1" if kind == "openai" and not _VERSION.search(bare) else bare


def path(kind: str, what: str) -> str:
    """Return the path of `embed`, `chat` or `models`."""
    return _PATHS[kind][what]


def title(kind: str) -> str:
    """Return what messages call the server."""
    return _TITLES[kind]


def headers(key: str) -> dict[str, str]:
    """Return the headers of a request with a key, which may be empty."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def embed_body(spec: ModelSpec, texts: Sequence[str], *, cuts: bool = True) -> dict[str, Any]:
    """Return the JSON of a request for vectors; `texts` have their prefix already.

    Of a text that is too long Ollama reads the beginning, or refuses all of them unless `cuts`.
    """
    if spec.kind == "openai":
        return {"model": spec.model, "input": list(texts), "encoding_format": "float"}
    body: dict[str, Any] = {"model": spec.model, "input": list(texts), "truncate": cuts}
    body["keep_alive"] = _duration(spec.keep_alive)
    if spec.context is not None:
        body["options"] = {"num_ctx": spec.context}
    return body


def chat_body(spec: ChatSpec, messages: Sequence[Mapping[str, str]], *, stream: bool) -> dict[str, Any]:
    """Return the JSON of a request for an answer."""
    body: dict[str, Any] = {"model": spec.model, "messages": list(messages), "stream": stream}
    if spec.kind == "openai":
        return {**body, "max_tokens": spec.max_tokens}
    # Ollama would drop the beginning of what is too long, which are the rules and the best passage: it has to refuse.
    body |= {"truncate": False, "shift": False, "keep_alive": _duration(spec.keep_alive)}
    return {**body, "options": {"num_ctx": spec.context, "num_predict": spec.max_tokens}}


def call_error(error: httpx.HTTPError, seconds: float) -> ServerError:
    """Return the failure of a call without an answer, which was given `seconds`."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ServerError(Fault.DOWN, _find_refusal(error) or "cannot be reached")
    if isinstance(error, httpx.TimeoutException):
        return slow(seconds)
    return ServerError(Fault.DOWN, "the connection broke")


def slow(seconds: float) -> ServerError:
    """Return the failure of a call whose answer did not come within `seconds`."""
    return ServerError(Fault.SLOW, f"slow: no answer within {seconds:g} s")


def _find_refusal(error: BaseException | None) -> str:
    """Return why a certificate is refused, empty if it is not."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is refused: {error.verify_message}"
        error = error.__cause__ or error.__context__
    return ""


def _duration(keep_alive: str) -> int | float | str:
    """Return it as Ollama reads it: text with a unit, or a number of seconds."""
    if keep_alive[-1:].isalpha():
        return keep_alive
    return float(keep_alive) if "." in keep_alive else int(keep_alive)
