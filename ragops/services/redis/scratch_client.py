"""Client of a scratch server: RESP over its socket, or redis-cli inside the container."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from ragops.adapters import redis_client
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import redis

    from ragops.services.contract import Endpoint
    from ragops.services.control import Sandbox

_SOCKET = "socket"
_LIMIT = 60.0  # seconds for one command


class ScratchClient(Protocol):
    """What is asked of a scratch server. All raise RagopsError."""

    def info(self, section: str) -> dict[str, Any]:
        """Return a section of INFO."""

    def configure(self, name: str, value: str) -> None:
        """CONFIG SET."""

    def save(self) -> None:
        """BGSAVE."""

    def shut_down(self) -> None:
        """End it, its append-only files whole."""


class SocketClient:
    """The Python client on the server's Unix socket."""

    def __init__(self, path: str) -> None:
        self._client = redis_client.connect_socket(path)

    def info(self, section: str) -> dict[str, Any]:
        """Return a section of INFO."""
        with redis_client.translate_errors("the scratch server"):
            return info(self._client, section)

    def configure(self, name: str, value: str) -> None:
        """CONFIG SET."""
        with redis_client.translate_errors("the scratch server"):
            self._client.config_set(name, value)

    def save(self) -> None:
        """BGSAVE."""
        with redis_client.translate_errors("the scratch server"):
            self._client.bgsave()

    def shut_down(self) -> None:
        """SHUTDOWN; the client takes the closed connection for the answer."""
        with redis_client.translate_errors("the scratch server"):
            self._client.shutdown(nosave=True)


class RedisCliClient:
    """redis-cli next to the server."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._command = ("redis-cli", "-s", f"{sandbox.folder}/{_SOCKET}", "-e")

    def info(self, section: str) -> dict[str, Any]:
        """Return a section of INFO."""
        return read_info(self._ask("INFO", section))

    def configure(self, name: str, value: str) -> None:
        """CONFIG SET."""
        self._ask("CONFIG", "SET", name, value)

    def save(self) -> None:
        """BGSAVE."""
        self._ask("BGSAVE")

    def shut_down(self) -> None:
        """SHUTDOWN."""
        self._ask("SHUTDOWN", "NOSAVE")

    def _ask(self, *words: str) -> str:
        said = self._sandbox.output([*self._command, *words], _LIMIT)
        if said.startswith("LOADING"):
            raise RagopsError("redis_loading", "the scratch server still reads its file")
        return said


def open_client(sandbox: Sandbox) -> ScratchClient:
    """Return a client of the scratch server that runs in `sandbox`."""
    return SocketClient(str(sandbox.local / _SOCKET)) if sandbox.local else RedisCliClient(sandbox)


def info(client: redis.Redis, section: str) -> dict[str, Any]:
    """Return a section of INFO."""
    values: dict[str, Any] = client.info(section)
    return values


def read_info(text: str) -> dict[str, Any]:
    """Return a section of INFO as the server writes it: numbers as such, `a=1,b=2` as a mapping of numbers."""
    found: dict[str, Any] = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition(":")
        if separator and not name.startswith("#"):
            found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    if "=" in text:
        return {name: _value(value) for name, _, value in (part.partition("=") for part in text.split(","))}
    try:
        return int(text)
    except ValueError:
        return text


def keys_of(keyspace: Mapping[str, Any]) -> dict[str, int]:
    """Keys of all databases, and those of them that expire, from INFO's section `keyspace`."""
    return {kind: sum(values[kind] for values in keyspace.values()) for kind in ("keys", "expires")}


@contextmanager
def operator_client(endpoint: Endpoint, limit: float) -> Iterator[redis.Redis]:
    """Open the operator's client of the live server, `limit` seconds for each command. Raises RagopsError (redis_…)."""
    login = endpoint.logins["operator"]
    with redis_client.translate_errors(f"redis at {endpoint.host}:{endpoint.port}"):
        client = redis_client.connect(endpoint.host, endpoint.port, login.user, login.password, timeout=limit)
        try:
            yield client
        finally:
            client.close()
