"""The probe of the RAG API: reachable, able to answer, circuit breakers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx

from ragops.services.contract import Check, ProbeResult, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.services.contract import Endpoint

_LOG = "see `ragops logs api`"
_HINTS = {
    "qdrant": "see `ragops health qdrant`",
    "redis": "until then answers are not cached: see `ragops health redis`",
    "database": "until then collections cannot be listed and questions are not logged: see `ragops health timescaledb`",
    "ollama": "start Ollama, and get the embedding model: `ollama pull MODEL`",
    "openai": "start the server of the model; ragops.yaml has its `url`, its `model` and its `key_file`",
    "chat": "until then answers are passages: start Ollama, and get the chat model: `ollama pull MODEL`",
    "tokens": "run `ragops token issue NAME`",
}


def probe(endpoint: Endpoint, timeout: float) -> ProbeResult:
    """Look at the live service for at most `timeout` seconds; never raises."""
    started = time.monotonic()
    checks: list[Check] = []
    try:
        base = f"http://{endpoint.host}:{endpoint.port}"
        with httpx.Client(base_url=base, trust_env=False) as client:
            checks.append(_reachable(client, timeout))
            # In this order: being asked whether it is ready, the API tries what its breakers left alone.
            checks += _ready(client, timeout - (time.monotonic() - started))
            checks += _breakers(client, endpoint, timeout - (time.monotonic() - started))
    except httpx.HTTPError as error:
        name = "reachable" if not checks else "answer"
        hint = f"`ragops up`; {_LOG}"
        checks.append(Check(name, Status.DOWN, _words(error), hint))
    except Exception as error:
        checks.append(Check("answer", Status.DOWN, f"unexpected answer: {type(error).__name__}: {error}", _LOG))
    return ProbeResult("api", tuple(checks), time.monotonic() - started, endpoint.version)


def _words(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"{error.request.url.path} answers {error.response.status_code}"
    return f"does not answer: {type(error).__name__}"


def _reachable(client: httpx.Client, timeout: float) -> Check:
    started = time.monotonic()
    client.get("/healthz", timeout=timeout).raise_for_status()
    return Check("reachable", Status.OK, f"answers in {(time.monotonic() - started) * 1000:.0f} ms")


def _ready(client: httpx.Client, timeout: float) -> Iterator[Check]:
    body = client.get("/readyz", timeout=max(timeout, 0.1)).json()
    for found in body["checks"]:
        status = Status(found["status"])
        hint = "" if status is Status.OK else _hint(found["name"])
        yield Check(found["name"], status, found["detail"], hint)
    yield Check("embedder", Status.OK, f"{body['embedder']}, answers by {body['chat_model'] or 'passages'}")


def _breakers(client: httpx.Client, endpoint: Endpoint, timeout: float) -> Iterator[Check]:
    token = endpoint.logins["operator"].password.get_secret_value()
    answer = client.get("/internal/breakers", headers={"X-Service-Token": token}, timeout=max(timeout, 0.1))
    if answer.status_code == httpx.codes.FORBIDDEN:
        hint = "`ragops up` gives it the token of the secrets file"
        yield Check("service token", Status.DEGRADED, "the API refuses the service token of ragops", hint)
        return
    body = answer.raise_for_status().json()
    yield from (_breaker(found) for found in body["breakers"])
    if left_out := body["qdrant_nodes_left_out"]:
        yield Check("qdrant nodes", Status.DEGRADED, f"left out: {', '.join(left_out)}", _HINTS["qdrant"])


def _breaker(found: dict[str, Any]) -> Check:
    name, state = f"breaker {found['dependency']}", found["state"]
    if state == "closed":
        return Check(name, Status.OK, "closed" if not found["failures"] else f"closed, {found['failures']} failures")
    detail = f"{state}, {found['refused']} calls refused, tries again in {found['retry_after']:.0f} s"
    return Check(name, Status.DEGRADED, f"{detail}: {found['last_error']}", _hint(found["dependency"]))


def _hint(dependency: str) -> str:
    """Return what to do for a dependency; that of a model may have its name after the kind."""
    return _HINTS.get(dependency.partition(" ")[0], _LOG)
