"""The client of one node over REST: probes, configurations as JSON, and the bytes of snapshots.

Everything else goes through the library (`node_client.py`). docs/decisions/0008-one-qdrant-client.md has the reasons.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import httpx

from ragops.adapters.files import explain_os_error
from ragops.adapters.qdrant.addresses import path_of, verification
from ragops.adapters.qdrant.failures import LOG_HINT, Failure, error_text, request_error, retry_consensus
from ragops.errors import RagopsError, UnhealthyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONNECT_SECONDS = 5.0
# Reads and changes are short, however long snapshots may take: a server that hangs keeps its connections open.
_SHORT = ("GET", "DELETE")
_SHORT_SECONDS = 90.0
_CONSENSUS_SECONDS = 15
_DONE_BEFORE = {"PUT": "qdrant_exists", "DELETE": "qdrant_not_found"}
_BLOCK = 1 << 20


class HttpClient:
    """A client of one server; `get` and `send` return what Qdrant calls `result`.

    All raise UnhealthyError (qdrant_unreachable), MissingError (qdrant_key_refused, qdrant_not_supported, disk_full),
    RagopsError (qdrant_not_found, qdrant_exists, qdrant_error).
    """

    def __init__(self, client: httpx.Client, name: str = "qdrant", seconds: float | None = None) -> None:
        self.name = name
        self._client = client
        self._seconds = seconds

    def within(self, seconds: float) -> Self:
        """Return a client of the same server whose `get`, `send` and `status` take at most `seconds`."""
        other = copy.copy(self)
        other._seconds = seconds
        return other

    def _limits(self, method: str) -> httpx.Timeout:
        own = self._client.timeout
        seconds = self._seconds if self._seconds is not None else own.read
        if method in _SHORT:
            seconds = _SHORT_SECONDS if seconds is None else min(seconds, _SHORT_SECONDS)
        return own if seconds is None else httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS))

    def get(self, path: str) -> Any:
        """Read."""
        return self.send("GET", path)

    def send(self, method: str, path: str, body: object = None, **query: str) -> Any:
        """Send a request, with a JSON body if one is given."""
        with _translate_errors(self.name):
            response = self._client.request(method, path, json=body, params=query, timeout=self._limits(method))
            _check(response, self.name)
            return response.json()["result"]

    def change(self, method: str, path: str, body: object = None, **query: str) -> None:
        """Send a change that all nodes have to agree on, again if consensus lost it."""
        one = self.within(self._limits(_SHORT[0]).read or _SHORT_SECONDS)
        query = {"timeout": str(_CONSENSUS_SECONDS), **query}
        retry_consensus(lambda: one.send(method, path, body, **query), _DONE_BEFORE.get(method, ""))

    def collection_names(self) -> list[str]:
        """Return the names of all collections, ragops' own too."""
        return sorted(item["name"] for item in self.get("/collections")["collections"])

    def aliases(self) -> dict[str, str]:
        """Return every alias, ragops' own too, with its collection."""
        return {item["alias_name"]: item["collection_name"] for item in self.get("/aliases")["aliases"]}

    def collection(self, name: str) -> dict[str, Any]:
        """Return state and configuration of a collection as JSON."""
        return dict(self.get(path_of(name)))

    def shards(self, name: str) -> dict[str, Any]:
        """Return the shards of a collection, and where their replicas are, as JSON."""
        return dict(self.get(f"{path_of(name)}/cluster"))

    def replication_factor(self, name: str) -> int:
        """Return how many replicas a shard of the collection is to have. A server fails it for one without a shard."""
        return int(self.collection(name)["config"]["params"].get("replication_factor") or 1)

    def root(self) -> dict[str, Any]:
        """Return the server's `title`, `version`, and `engine` if it is the development engine."""
        with _translate_errors(self.name):
            response = self._client.get("/")
            _check(response, self.name)
            return dict(response.json())

    def status(self, path: str, *, with_key: bool = True) -> int:
        """Return the status of a GET."""
        with _translate_errors(self.name):
            request = self._client.build_request("GET", path, timeout=self._limits("GET"))
            if not with_key:
                del request.headers["api-key"]
            return self._client.send(request).status_code

    def download(self, path: str, target: BinaryIO) -> None:
        """Stream a file to `target`, the file of a local disk, and flush it."""
        try:
            with _translate_errors(self.name), self._client.stream("GET", path) as response:
                _check(response, self.name)
                for block in response.iter_bytes(_BLOCK):
                    target.write(block)
                target.flush()
        except OSError as error:
            raise explain_os_error(error, f"write {target.name}") from error

    def upload(self, path: str, source: Path, checksum: str) -> None:
        """Send `source` as a shard snapshot and wait until it is in place."""
        query = {"priority": "snapshot", "wait": "true", "checksum": checksum}
        try:
            with _translate_errors(self.name), source.open("rb") as stream:
                files = {"snapshot": (source.name, stream, "application/octet-stream")}
                _check(self._client.post(path, params=query, files=files), self.name)
        except OSError as error:
            raise explain_os_error(error, f"read {source}") from error


def open_transport(url: str, key: str, timeout: float) -> httpx.Client:
    """Return httpx's client of the server at `url`; an answer takes at most `timeout` seconds."""
    limits = httpx.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS))
    headers, verify = {"api-key": key}, verification(url)
    return httpx.Client(base_url=url, headers=headers, timeout=limits, trust_env=False, verify=verify)


@contextmanager
def open_http(url: str, key: str, timeout: float, name: str = "qdrant") -> Iterator[HttpClient]:
    """Open a client of the server at `url`, called `name` in errors; an answer takes at most `timeout` seconds."""
    with open_transport(url, key, timeout) as transport:
        yield HttpClient(transport, name)


@contextmanager
def _translate_errors(name: str) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        what = f"{name} did not answer in time ({type(error).__name__})"
        raise UnhealthyError("qdrant_unreachable", what, LOG_HINT) from error
    except httpx.HTTPError as error:
        what = f"{name} cannot be reached: {error}"
        raise UnhealthyError("qdrant_unreachable", what, f"`ragops status`; {LOG_HINT}") from error
    except (ValueError, KeyError) as error:
        what = f"{name} gave an unexpected answer: {type(error).__name__}: {error}"
        raise RagopsError("qdrant_error", what, LOG_HINT) from error


def _check(response: httpx.Response, name: str) -> None:
    if not response.is_success:
        status = response.status_code
        raise request_error(Failure(status, f"answers {status}", error_text(response.read())), name)
