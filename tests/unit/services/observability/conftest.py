"""A platform on Docker as the component of observability sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ragops.runtimes.docker.provision import args as docker_args
from ragops.services import by_name
from ragops.services.contract import Declaration, Endpoint, Login, Node
from ragops.services.observability.settings import ObservabilitySettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.services.spec import ImageSpec, Layout

SECRETS = {
    "timescaledb_monitor": "pg-hunter2", "redis_monitor": "redis-hunter2", "qdrant_read_only_key": "qdrant-hunter2",
    "observability_grafana_admin": "grafana-hunter2",
}  # fmt: skip


class ImageRuntime:
    """The part of a runtime with images that components ask."""

    name = "docker"
    capabilities: frozenset[Any] = frozenset()

    def layout(self, instance: str, image: ImageSpec | None = None) -> Layout:
        assert image
        return docker_args.layout(instance, image)

    def runtime_id(self, instance: str) -> str:
        return f"rag-default-{instance}"


def _endpoint(service: str, engine: str, port: int, **more: Any) -> Endpoint:
    return Endpoint(service, engine, "1", "docker", "127.0.0.1", port, inner_host=service, inner_port=port, **more)


ENDPOINTS = {
    "timescaledb": _endpoint("timescaledb", "timescaledb", 5432, options={"database": "rag"}),
    "redis": _endpoint("redis", "redis", 6379),
    "qdrant": _endpoint(
        "qdrant",
        "qdrant",
        6333,
        logins={"monitor": Login("", "qdrant_read_only_key")},
        nodes=tuple(
            Node(f"qdrant-{number}", f"http://127.0.0.1:63{number}3", "", f"http://qdrant-{number}:6333")
            for number in (1, 2, 3)
        ),
    ),
    "api": _endpoint("api", "ragops", 8080),
    "gateway": _endpoint("gateway", "kong", 8000, options={"metrics_port": "8100"}),
}


@pytest.fixture
def declare() -> Callable[..., Declaration]:
    """The declaration with a section of ragops.yaml and the contents of the files that it names."""

    def make(section: dict[str, Any] | None = None, files: dict[str, str] | None = None) -> Declaration:
        return Declaration(
            settings=ObservabilitySettings.model_validate(section or {}),
            platform="rag",
            secrets=SECRETS,
            runtime=ImageRuntime(),
            before=ENDPOINTS,
            targets={name: by_name(name).scrape_targets(endpoint) for name, endpoint in ENDPOINTS.items()},
            own={"environment": "default", "textfiles": "/srv/rag/.ragops/metrics/default", "files": files or {}},
            is_monitored=True,
        )

    return make
