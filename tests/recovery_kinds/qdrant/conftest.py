"""Two servers with nothing on them: one that recovery points are taken of, one that they are brought to."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from tests import qdrant_processes
from tests.integration.test_qdrant_edge import KEY as EDGE_KEY
from tests.integration.test_qdrant_edge import Server as Edge
from tests.qdrant_processes import NoControl

if TYPE_CHECKING:
    from collections.abc import Iterator


class Site:
    """A server, and how it is asked."""

    def __init__(self, server: Any, control: Any, key: str) -> None:
        self.server, self.control, self.key = server, control, key

    @property
    def endpoint(self) -> Any:
        return self.server.endpoint

    def http(self) -> Any:
        import httpx

        url = self.endpoint.nodes[0].url
        return httpx.Client(base_url=url, headers={"api-key": self.key}, timeout=60, trust_env=False)


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[Site, Site]]:
    """Two real servers."""
    with qdrant_processes.server() as one, qdrant_processes.server() as other:
        yield Site(one, NoControl(), qdrant_processes.KEY), Site(other, NoControl(), qdrant_processes.KEY)


@pytest.fixture(scope="session")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Site]]:
    """Two of the development engine."""
    with contextlib.ExitStack() as stack:
        sites = []
        for name in ("one", "other"):
            edge = Edge(tmp_path_factory.mktemp(name))
            edge.start()
            stack.callback(edge.stop)
            sites.append(Site(edge, edge, EDGE_KEY))
        yield sites[0], sites[1]
