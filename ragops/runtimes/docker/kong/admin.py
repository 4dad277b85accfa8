"""A client of Kong's Admin API, which listens inside its container alone: through a connection that an exec holds."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

from ragops.errors import RagopsError
from ragops.services.gateway.kong_environment import ADMIN_PORT

if TYPE_CHECKING:
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
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        # As text, not as an object: its hash then is that of the same text in a file.
        status, body = request(docker, container, "POST", "/config", json.dumps({"config": document}))
        if status not in _BUSY or time.monotonic() > deadline:
            break
        time.sleep(_POLL)
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
        f"the gateway refuses its new configuration: {words}",
        "nothing was changed, the old configuration is in force; `ragops gateway diff` shows the new one",
    )


def request(docker: DockerHost, container: str, method: str, path: str, body: str = "") -> tuple[int, bytes]:
    """Return status and body of an answer of the Admin API. Raises RagopsError (gateway_silent)."""
    content = body.encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Length: {len(content)}\r\n"
    head += "Content-Type: application/json\r\n\r\n"
    done = docker.exec(container, ("bash", "-c", _TALK), input=head.encode() + content, limit=_SECONDS + 10.0)
    answer, _, rest = done.stdout.partition(b"\r\n\r\n")
    words = answer.split(b"\r\n")[0].split()
    if len(words) < 2 or not words[1].isdigit():
        what = f"the Admin API of {container} does not answer: {done.said[-200:] or 'silence'}"
        raise RagopsError("gateway_silent", what, "`ragops logs gateway` may say why; `ragops up` restarts it")
    return int(words[1]), _unchunked(rest) if b"transfer-encoding: chunked" in answer.lower() else rest


def _unchunked(rest: bytes) -> bytes:
    found = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        if not length:
            break
        found, rest = found + rest[:length], rest[length + 2 :]
    return found


def _message(body: bytes) -> str:
    """Return Kong's message; never the entities themselves, which may hold a key."""
    return str(_json(body).get("message", ""))[-600:]


def _json(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
