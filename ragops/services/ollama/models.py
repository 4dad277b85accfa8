"""Which models an Ollama server has, and fetching those that it lacks (its HTTP API, GET /api/tags, POST /api/pull)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from ragops.errors import RagopsError, UnhealthyError
from ragops.services.ollama.settings import add_tag

if TYPE_CHECKING:
    from collections.abc import Sequence

_ANSWER_SECONDS = 10.0
_SILENCE_SECONDS = 120.0  # between two lines of a pull: the server reports how far it is all the time
_ATTEMPTS = 5
_LOG = "see `ragops logs ollama`"


def present(url: str, timeout: float = _ANSWER_SECONDS) -> frozenset[str]:
    """Names of the models that the server at `url` has, each with its tag.

    Raises UnhealthyError (ollama_unreachable).
    """
    try:
        answer = httpx.get(f"{url}/api/tags", timeout=timeout, trust_env=False)
        answer.raise_for_status()
        return frozenset(str(item["name"]) for item in answer.json()["models"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        what = f"cannot list the models of Ollama at {url}: {type(error).__name__}"
        raise UnhealthyError("ollama_unreachable", what, _LOG) from error


def find_missing(url: str, models: Sequence[str], timeout: float = _ANSWER_SECONDS) -> tuple[str, ...]:
    """Those of `models` that the server lacks. Raises UnhealthyError (ollama_unreachable)."""
    there = present(url, timeout)
    return tuple(model for model in models if add_tag(model) not in there)


def fetch(url: str, models: Sequence[str]) -> None:
    """Have the server fetch what it lacks of `models`; a pull that broke continues where it stopped.

    Raises RagopsError (model_unknown, model_not_fetched), UnhealthyError (ollama_unreachable).
    """
    for model in find_missing(url, models):
        again = retry_if_exception_type(httpx.HTTPError)
        wait = wait_random_exponential(multiplier=0.5, max=10)
        try:
            for attempt in Retrying(stop=stop_after_attempt(_ATTEMPTS), wait=wait, retry=again, reraise=True):
                with attempt:
                    _pull(url, model)
        except httpx.HTTPError as error:
            what = f"cannot fetch the model {model}: {type(error).__name__}"
            raise RagopsError("model_not_fetched", what, f"run `ragops up` again to continue; {_LOG}") from error


def _pull(url: str, model: str) -> None:
    """One request; its answer is a line for each step, and the last one states success."""
    status: dict[str, Any] = {}
    body = {"model": model, "stream": True}
    with httpx.stream("POST", f"{url}/api/pull", json=body, timeout=_SILENCE_SECONDS, trust_env=False) as answer:
        for line in answer.iter_lines():
            status = _values(line)
            if "error" in status:
                raise _explain_refusal(model, str(status["error"])[:200])
    if status.get("status") != "success":
        raise httpx.RemoteProtocolError("the answer ended before the model was there")


def _values(line: str) -> dict[str, Any]:
    try:
        values = json.loads(line or "{}")
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _explain_refusal(model: str, why: str) -> RagopsError:
    if "does not exist" in why or "not found" in why:
        hint = "name one from https://ollama.com/library in `ollama: {models: […]}`"
        return RagopsError("model_unknown", f"cannot fetch the model {model}: {why}", hint)
    hint = "is the machine online? Without a network: `ollama create` in the container from a file of the model"
    return RagopsError("model_not_fetched", f"cannot fetch the model {model}: {why}", hint)
