"""Client of a scratch server: RESP over its socket, or redis-cli inside the container."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from ragops.adapters import redis_client
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import redis

    from ragops.services.contract import Endpoint
    from ragops.services.control import Sandbox

    Ask = Callable[..., Any]

_SOCKET = "socket"
_LIMIT = 60.0  # seconds for one command


def open_client(sandbox: Sandbox) -> Ask:
    """Return a function that sends commands to the scratch server in `sandbox`: by its socket, or redis-cli next to it.

    It raises RagopsError.
    """
    if sandbox.local:
        return _by_socket(redis_client.connect_socket(str(sandbox.local / _SOCKET)))
    return partial(_ask_redis_cli, sandbox)


def read_section(ask: Ask, section: str) -> dict[str, Any]:
    """Return a section of INFO."""
    answer = ask("INFO", section)
    return answer if isinstance(answer, dict) else read_info(answer)


def _by_socket(client: redis.Redis) -> Ask:
    def ask(*words: str) -> Any:
        with redis_client.translate_errors("the scratch server"):
            if words[0] == "SHUTDOWN":  # the closed connection is the answer
                return client.shutdown(nosave=True)
            return client.execute_command(*words)  # type: ignore[no-untyped-call]

    return ask


def _ask_redis_cli(sandbox: Sandbox, *words: str) -> str:
    answer = sandbox.output(["redis-cli", "-s", f"{sandbox.folder}/{_SOCKET}", "-e", *words], _LIMIT)
    if answer.startswith("LOADING"):
        raise RagopsError("redis_loading", "the scratch server still reads its file")
    return answer


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
