"""A client of Kong's Admin API, which listens inside its container alone: through a connection that an exec holds."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import TYPE_CHECKING, Any, cast

from ragops.adapters.wait import wait_until
from ragops.errors import RagopsError
from ragops.services.gateway.kong_configuration import ADMIN_PORT

if TYPE_CHECKING:
    import socket

    from ragops.adapters.docker.client import DockerHost

_SECONDS = 30
_BUSY = (409, 429, 503, 504)  # it is starting, or takes another configuration just now
_BUSY_SECONDS = 15.0
_POLL = 0.2
_ANSWER = 1 << 16  # bytes; after a status of success nothing more is wanted
# The image need have no program for it but its shell.
_TALK = f"exec 3<>/dev/tcp/127.0.0.1/{ADMIN_PORT} && cat >&3 && timeout {_SECONDS} head -c {_ANSWER} <&3"


def post_configuration(docker: DockerHost, container: str, document: str) -> None:
    """Have the running Kong take `document` as a whole, or nothing of it.

    Raises RagopsError: gateway_config_invalid if Kong refuses it, gateway_silent if it does not answer.
    """
    # As text, not as an object: its hash then is that of the same text in a file.
    text, status, body = json.dumps({"config": document}), 0, b""

    def is_answered() -> bool:
        nonlocal status, body
        status, body = request(docker, container, "POST", "/config", text)
        return status not in _BUSY

    wait_until(is_answered, _BUSY_SECONDS, _POLL)
    if status not in (200, 201):
        raise refused(_message(body) or f"it answers {status}")


def has(docker: DockerHost, container: str, document: str) -> bool:
    """Whether `document` is what the running Kong works by: posted last, or read at its start.

    Raises RagopsError (gateway_silent).
    """
    _status, body = request(docker, container, "GET", "/status")
    return bool(
        _json(body).get("configuration_hash") == hashlib.md5(document.encode(), usedforsecurity=False).hexdigest()
    )


def refused(words: str) -> RagopsError:
    """Return the error for a configuration that Kong itself refuses."""
    return RagopsError(
        "gateway_config_invalid",
        f"cannot apply the gateway's configuration: {words}",
        "nothing was changed, the old configuration is in force; `ragops gateway diff` shows the new one",
    )


def request(docker: DockerHost, container: str, method: str, path: str, body: str = "") -> tuple[int, bytes]:
    """Return status and body of an answer of the Admin API. Raises RagopsError (gateway_silent)."""
    content = body.encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Length: {len(content)}\r\n"
    head += "Content-Type: application/json\r\n\r\n"
    done = docker.exec(container, ("bash", "-c", _TALK), input=head.encode() + content, limit=_SECONDS + 10.0)
    answer = HTTPResponse(cast("socket.socket", _Received(done.stdout)))
    try:
        answer.begin()
        return answer.status, answer.read()
    except IncompleteRead as error:  # a long answer is cut off; its beginning is enough
        return answer.status, error.partial
    except HTTPException as error:
        what = f"cannot ask the Admin API of {container}: {done.error_text[-200:] or 'it does not answer'}"
        hint = "`ragops logs gateway` may show why; `ragops up` restarts it"
        raise RagopsError("gateway_silent", what, hint) from error


@dataclass(frozen=True)
class _Received:
    """An answer that has arrived, in the place of the socket from which http.client makes a file."""

    content: bytes

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self.content)


def _message(body: bytes) -> str:
    """Return Kong's message; never the entities themselves, which may hold a key."""
    return str(_json(body).get("message", ""))[-600:]


def _json(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
