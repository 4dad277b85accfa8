"""Fixtures of the contract suites of Qdrant."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
from tests.contract.qdrant_servers import (
    BINARY,
    REAL_KEY,
    REAL_URL,
    SERVER,
    Server,
    development_engine,
    named_binary,
    pinned_image,
)


@pytest.fixture(scope="module", params=["development", SERVER])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if request.param == "development":
        yield from development_engine()
    elif REAL_URL:
        yield Server(REAL_URL, REAL_KEY, development=False)
    elif BINARY:
        yield from named_binary()
    else:
        yield from pinned_image()


@pytest.fixture
def raw(server: Server) -> Iterator[httpx.Client]:
    headers = {"api-key": server.key} if server.key else {}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def name(raw: httpx.Client) -> Iterator[str]:
    """A name for a collection, deleted afterwards, whatever it needs in a URL."""
    chosen = f"contract-{uuid4().hex[:8]} ü"
    yield chosen
    raw.delete(f"/collections/{chosen}")
