"""A session of a project that was never written: its settings, and the endpoints that a test has."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ragops.config.model import Settings
from ragops.errors import MissingError
from ragops.services.spec import Distribution

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ragops.operations.session import Session
    from ragops.services.contract import Endpoint


@dataclass
class _Session:
    root: Path
    values: Mapping[str, Any]
    options: dict[str, str] | None
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)

    @property
    def project(self) -> Any:
        settings = Settings.model_validate({"name": "test", **self.values})
        endpoints = SimpleNamespace(exists=lambda: self.options is not None)
        return SimpleNamespace(settings=settings, paths=SimpleNamespace(root=self.root, endpoints=endpoints))

    @property
    def host(self) -> Any:
        return SimpleNamespace(facts=SimpleNamespace(traits=SimpleNamespace(distribution=Distribution.WHEEL)))

    def endpoint(self, service: str) -> Any:
        if service == "api":
            return SimpleNamespace(options=self.options)
        if service not in self.endpoints:
            raise MissingError("not_provisioned", f"{service} is not provisioned here", "run `ragops up`")
        return self.endpoints[service]


def fake_session(
    root: Path,
    values: Mapping[str, Any] | None = None,
    options: dict[str, str] | None = None,
    endpoints: Mapping[str, Endpoint] | None = None,
) -> Session:
    """Return a session; `options` are those of the API as it was provisioned, None if nothing was."""
    return _Session(root, values or {}, options, endpoints or {})  # type: ignore[return-value]
