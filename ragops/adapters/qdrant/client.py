"""Qdrant's REST API as the operations of this service use it: httpx, with errors of ragops' own family."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from ragops.adapters.files import create_private, explain_os_error
from ragops.errors import MissingError, RagopsError, UnhealthyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONNECT_SECONDS = 5.0
# Reads and removals are short, however long the rest may take: a server that hangs keeps its connections open.
_SHORT = ("GET", "DELETE")
_SHORT_SECONDS = 90.0
_LOG = "see `ragops logs qdrant`"


class Rest:
    """A client of one server; `get` and `send` return what Qdrant calls `result`.

    All raise UnhealthyError (qdrant_unreachable), MissingError (qdrant_key_refused, qdrant_not_supported, disk_full),
    RagopsError (qdrant_not_found, qdrant_exists, qdrant_error).
    """

    def __init__(self, client: httpx.Client, name: str = "qdrant", seconds: float | None = None) -> None:
        self.name = name
        self._client = client
        self._seconds = seconds

    def within(self, seconds: float) -> Rest:
        """The same server, whose every answer to `get`, `send` and `status` may take up to `seconds`."""
        return Rest(self._client, self.name, seconds)

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
        """Ask for a change, with a JSON body where there is one."""
        with _translated(self.name):
            response = self._client.request(method, path, json=body, params=query, timeout=self._limits(method))
            _check(response, self.name)
            return response.json()["result"]

    def root(self) -> dict[str, Any]:
        """What the server says of itself: `title`, `version`, and `engine` where it is the development engine."""
        with _translated(self.name):
            response = self._client.get("/")
            _check(response, self.name)
            return dict(response.json())

    def status(self, path: str, *, with_key: bool = True) -> int:
        """The bare status of a GET."""
        with _translated(self.name):
            request = self._client.build_request("GET", path, timeout=self._limits("GET"))
            if not with_key:
                del request.headers["api-key"]
            return self._client.send(request).status_code

    def download(self, path: str, target: Path) -> None:
        """Stream a file to `target`, ours alone."""
        try:
            with (
                create_private(target) as stream,
                _translated(self.name),
                self._client.stream("GET", path) as response,
            ):
                _check(response, self.name)
                for block in response.iter_bytes(1 << 20):
                    stream.write(block)
        except OSError as error:
            raise explain_os_error(error, f"write {target}") from error

    def upload(self, path: str, source: Path, checksum: str) -> None:
        """Send `source` as a shard snapshot and wait until it is in place."""
        query = {"priority": "snapshot", "wait": "true", "checksum": checksum}
        try:
            with _translated(self.name), source.open("rb") as stream:
                files = {"snapshot": (source.name, stream, "application/octet-stream")}
                _check(self._client.post(path, params=query, files=files), self.name)
        except OSError as error:
            raise explain_os_error(error, f"read {source}") from error


@contextmanager
def opened(url: str, key: str, timeout: float, name: str = "qdrant") -> Iterator[Rest]:
    """A client of the server at `url`, called `name` in errors; every answer may take up to `timeout` seconds."""
    limits = httpx.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS))
    verify = url.startswith("https")  # reading the certificates of the world takes longer than a probe
    with httpx.Client(base_url=url, headers={"api-key": key}, timeout=limits, trust_env=False, verify=verify) as client:
        yield Rest(client, name)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        what = f"{name} did not answer in time ({type(error).__name__})"
        raise UnhealthyError("qdrant_unreachable", what, _LOG) from error
    except httpx.HTTPError as error:
        what = f"{name} cannot be reached: {error}"
        raise UnhealthyError("qdrant_unreachable", what, f"`ragops status`; {_LOG}") from error
    except (ValueError, KeyError) as error:
        what = f"{name} gave an unexpected answer: {type(error).__name__}: {error}"
        raise RagopsError("qdrant_error", what, _LOG) from error


def _check(response: httpx.Response, name: str) -> None:
    if response.is_success:
        return
    response.read()
    code, what = response.status_code, _reason(response)
    if code in (401, 403):
        raise MissingError("qdrant_key_refused", f"{name} refuses the key: {what}", "`ragops up` renews it")
    if code == 501:
        raise MissingError("qdrant_not_supported", f"{name}: {what}", "use another engine")
    if code == 507:
        raise MissingError("disk_full", f"{name}: {what}", "free some space, then run the command again")
    names = {404: "qdrant_not_found", 409: "qdrant_exists"}
    raise RagopsError(names.get(code, "qdrant_error"), f"{name} answers {code}: {what}", _LOG)


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200].strip()
