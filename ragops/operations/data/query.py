"""A question to the platform, asked as any client asks it: over HTTP, through the gateway, with a token."""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
from httpx_sse import EventSource
from pydantic import TypeAdapter, ValidationError

from ragops.errors import RagopsError, UnhealthyError, UsageError
from ragops.services.gateway.certificate import trust_only

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pydantic import SecretStr

    from ragops.operations.session import Session

__all__ = ["Gateway", "Passage", "QueryResult", "gateway_for", "query"]

# The API ends a request after 30 seconds by itself.
_SECONDS, _CONNECT_SECONDS = 125.0, 5.0  # as long as the gateway waits: a model may have to be loaded
_SEVERAL, _NAMED = 100, 10


class Gateway(NamedTuple):
    """Where to ask; `ca_file` has the certificate that is trusted, None where the machine's own will do."""

    url: str
    ca_file: Path | None


@dataclass(frozen=True)
class Passage:
    """A piece of a document: its place (collection, path, headings above it, position) and how near it is."""

    id: str
    path: str
    position: int | None
    score: float
    text: str
    heading: str = ""
    collection: str = ""


@dataclass(frozen=True)
class QueryResult:
    """The answer, None if no model wrote one (`note` states why: the passages are the answer then)."""

    collection: str | None
    answer: str | None
    model: str | None
    note: str | None
    embedder: str
    cached: bool
    passages: tuple[Passage, ...]
    request_id: str
    mode: str = ""  # how it was searched; an API of a release before does not report it


def query(
    gateway_url: str,
    token: SecretStr,
    text: str,
    collection: str | None = None,
    limit: int = 5,
    ca_file: Path | None = None,
    on_text: Callable[[str], None] | None = None,
) -> QueryResult:
    """Ask `text`, of all collections if none is named. `on_text` gets pieces of the answer as they come.

    Raises UsageError (no_collections, collection_needed for too many, collection_not_found, and what the API finds
    wrong with the question), RagopsError (token_refused, rate_limited, not_found, collection_not_found if nothing was
    ingested into it, query_failed), UnhealthyError (gateway_unreachable, certificate_refused, breaker_open,
    service_unavailable).
    """
    if not text.strip():
        raise UsageError(
            "invalid_request", "cannot ask the question: it is empty", 'write one: `ragops query "QUESTION"`'
        )
    with _client(gateway_url, token, ca_file) as client:
        body = {"query": text, "limit": limit} | ({"collection": collection} if collection else {})
        try:
            result = _ask(client, body) if on_text is None else _ask_for_events(client, body, on_text)
        except RagopsError as error:
            if error.code == "collection_not_found" and collection:
                raise _not_found(client, collection) from error
            raise
        if not result.passages and not collection and not _names(client):
            hint = "make one: `ragops collection create NAME DIRECTORY`, then `ragops ingest`"
            raise UsageError("no_collections", "there is no collection to ask", hint)
        return result


def gateway_for(session: Session) -> Gateway:
    """Return the gateway of an environment, by TLS if it has it. Raises MissingError (not_provisioned)."""
    endpoint = session.endpoint("gateway")
    certificate, port = endpoint.options.get("certificate"), endpoint.options.get("tls_port")
    if certificate and port:
        return Gateway(f"https://{endpoint.host}:{port}", session.project.paths.root / certificate)
    return Gateway(f"http://{endpoint.host}:{endpoint.port}", None)


def _client(url: str, token: SecretStr, ca_file: Path | None) -> httpx.Client:
    try:
        trusted = trust_only(ca_file) if ca_file else ssl.create_default_context()
    except (OSError, ValueError) as error:
        what = f"cannot read the gateway's certificate {ca_file}: {getattr(error, 'strerror', None) or error}"
        raise RagopsError("certificate_unreadable", what, "run `ragops up`, which makes it if it is missing") from error
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
    timeout = httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS)
    # A proxy of the environment has no business between us and our own gateway.
    return httpx.Client(base_url=url, headers=headers, timeout=timeout, verify=trusted, trust_env=False)


def _ask(client: httpx.Client, body: dict[str, Any]) -> QueryResult:
    response = _send(client, "POST", "/api/v1/query", json=body)
    return _result(_document(response), _request_id(response))


def _ask_for_events(client: httpx.Client, body: dict[str, Any], on_text: Callable[[str], None]) -> QueryResult:
    headers = {"Accept": "text/event-stream"}
    with _reaching(client), client.stream("POST", "/api/v1/query", json=body, headers=headers) as response:
        if response.status_code != httpx.codes.OK:
            response.read()
            raise translate(response)
        if "text/event-stream" not in response.headers.get("content-type", ""):  # an API of a release before
            response.read()
            return _result(_document(response), _request_id(response))
        for event in EventSource(response).iter_sse():
            values = event.json()
            if event.event == "text":
                on_text(str(values["text"]))
            elif event.event == "answer":
                return _result(values, _request_id(response))
            elif event.event == "error":
                raise RagopsError(
                    "query_failed", f"cannot finish the answer: {values.get('detail')}", "see `ragops health`"
                )
    raise RagopsError("query_failed", "cannot read the answer: it ended too early", "run the same command again")


def _send(client: httpx.Client, method: str, path: str, **content: Any) -> httpx.Response:
    with _reaching(client):
        response = client.request(method, path, **content)
    if response.status_code != httpx.codes.OK:
        raise translate(response)
    return response


@contextlib.contextmanager
def _reaching(client: httpx.Client) -> Iterator[None]:
    """Raise the errors of a connection as UnhealthyError."""
    where = f"the gateway at {client.base_url}"
    try:
        yield
    except httpx.TimeoutException as error:
        what = f"cannot ask {where}: it did not answer in time ({type(error).__name__})"
        raise UnhealthyError("gateway_unreachable", what, "see `ragops health`") from error
    except httpx.TransportError as error:
        if isinstance(error.__cause__, ssl.SSLError) or "CERTIFICATE" in str(error):
            hint = "run `ragops gateway apply` if this platform's gateway runs there; `ragops health gateway` shows why"
            raise UnhealthyError(
                "certificate_refused", f"cannot trust {where}: it shows another certificate", hint
            ) from error
        hint = "is it running? `ragops status`; start it: `ragops up`"
        raise UnhealthyError("gateway_unreachable", f"cannot reach {where}: {error}", hint) from error


def _request_id(response: httpx.Response) -> str:
    return str(response.headers.get("x-request-id", ""))


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        values = response.json()
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise RagopsError(
            "query_failed", "cannot read the answer: it is not that of a RAG API", "check the gateway's URL"
        )
    return values


def _names(client: httpx.Client) -> list[str]:
    response = _send(client, "GET", "/api/v1/collections", params={"limit": _SEVERAL})
    found = [item for item in _document(response).get("collections", []) if item.get("enabled") is not False]
    return [str(item["name"]) for item in found]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")


def _not_found(client: httpx.Client, asked: str) -> RagopsError:
    """Raise for an unknown name, or for one whose files were never ingested."""
    names: list[str] = []
    with contextlib.suppress(RagopsError):  # without its database the platform has no names to offer
        names = _names(client)
    if asked in names:
        hint = f"run `ragops ingest {asked}`"
        return RagopsError("collection_not_found", f"nothing was ingested into collection {asked} yet", hint)
    hint = f"there are {_listed(names)}" if names else "name one that was ingested"
    return UsageError("collection_not_found", f"cannot find collection {asked}: there is none", hint)


def _result(values: dict[str, Any], request_id: str) -> QueryResult:
    try:
        return TypeAdapter(QueryResult).validate_python({**values, "request_id": request_id})
    except ValidationError as error:
        first = error.errors()[0]
        what = f"cannot read the answer: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        hint = "do gateway and API have this ragops' version? `ragops status`"
        raise RagopsError("query_failed", what, hint) from error


def translate(response: httpx.Response) -> RagopsError:
    """Return the RagopsError that an answer other than 200 means; its body is a problem (RFC 9457) or anything else."""
    status, code, detail = response.status_code, *_problem(response)
    wait = response.headers.get("retry-after", "")
    again = f"try again in {wait} s" if wait.isdigit() else "try again in a moment"
    match status:
        case 401 | 403:
            return _refused_token(status, detail)
        case 404:
            return RagopsError(code or "not_found", detail, "name a collection that there is: --collection NAME")
        case 409:
            return RagopsError(code or "query_failed", detail, "run `ragops ingest`")
        case 400 | 413 | 414 | 422:
            return UsageError(
                code or "invalid_request",
                f"cannot ask the question: {detail.removeprefix('/body/query: ')}",
                "shorten or correct it",
            )
        case 429:
            return RagopsError("rate_limited", "the gateway takes no more requests for now", again)
        case 503 if code == "circuit_open":
            return UnhealthyError("breaker_open", detail, f"{again}; see why: `ragops health`")
        case 503 if code == "overloaded":
            return UnhealthyError(code, detail, f"{again}; read `ragops metrics runbook ApiOverloaded`")
    if status in (502, 503, 504):
        return UnhealthyError(
            code or "service_unavailable", f"{status}: {detail}", f"{again}; see why: `ragops health`"
        )
    return RagopsError("query_failed", f"the platform answers {status}: {detail}", "see `ragops logs api`")


def _refused_token(status: int, detail: str) -> RagopsError:
    """Return what the gateway reports of a token are the words of its program; 403 has the API's own."""
    what = "the token is not accepted: it is malformed, expired or was revoked"
    if status == httpx.codes.FORBIDDEN:
        what = f"the token is refused: {detail}"
    return RagopsError(
        "token_refused", what, "get one: `ragops token issue NAME`, or leave out RAGOPS_TOKEN and --token-file"
    )


def _problem(response: httpx.Response) -> tuple[str, str]:
    """`code` and `detail` of a problem; of anything else no code and the start of its text."""
    try:
        values = response.json()
        return str(values.get("code", "")), str(values.get("detail") or values.get("title") or response.reason_phrase)
    except (ValueError, AttributeError):
        return "", response.text.strip()[:200] or response.reason_phrase
