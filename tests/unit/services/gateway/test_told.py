"""What Kong says of the API: well only where every one of its workers says so."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from ragops.services.contract import Endpoint, Status
from ragops.services.gateway.health import _upstream
from ragops.services.gateway.policy import UPSTREAM_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def gateway(words: list[str]) -> Iterator[Endpoint]:
    """Answers one connection after the other with the next of `words`, and goes on with the last."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            word = words.pop(0) if len(words) > 1 else words[0]
            self.send_response(200)
            if word:
                self.send_header(UPSTREAM_HEADER, word)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Endpoint(
                service="gateway", engine="kong", version="3.9.1", host="127.0.0.1", port=server.server_address[1],
                runtime="docker", runtime_id="",
            )  # fmt: skip
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["healthy"], [Status.OK]),
        (["unhealthy", "healthy"], [Status.DEGRADED]),
        (["healthy", "healthy", "unhealthy", "healthy"], [Status.DEGRADED]),
        ([""], []),
    ],
)
def test_one_worker_that_does_not_find_the_api_is_enough(words: list[str], status: list[Status]) -> None:
    with gateway(words) as endpoint:
        assert [check.status for check in _upstream(endpoint, 5.0)] == status
