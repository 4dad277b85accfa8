"""What Kong says of the API: well only where every one of its workers says so."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ragops.services.contract import Endpoint, Status
from ragops.services.gateway.health import _upstream
from ragops.services.gateway.policy import UPSTREAM_HEADER
from tests.web_server import WebServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web_server import Request


@contextmanager
def gateway(words: list[str]) -> Iterator[Endpoint]:
    """Answers one connection after the other with the next of `words`, and goes on with the last."""

    def answer(_request: Request) -> Any:
        word = words.pop(0) if len(words) > 1 else words[0]
        return 200, b"", {UPSTREAM_HEADER: word} if word else {}

    with WebServer(answer) as server:
        yield Endpoint(
            service="gateway", engine="kong", version="3.9.1", host="127.0.0.1", port=server.port, runtime="docker",
            runtime_id="",
        )  # fmt: skip


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
