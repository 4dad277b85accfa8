"""The opened platform as operations on its data see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ragops.errors import MissingError
from ragops.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ragops.services.contract import Endpoint, Service
    from ragops.services.control import Control


@dataclass(frozen=True)
class Platform:
    """Its name, environment and runtime, and how to reach and control its services by name.

    `files` are those of the project that a recovery point holds, by name; `sealed` are folders and files with secrets,
    which only an encrypted one holds. `images` are the ids of the images behind the services.
    """

    name: str
    runtime: str
    endpoints: Mapping[str, Endpoint]
    control_of: Callable[[Endpoint], Control]
    files: Mapping[str, Path] = field(default_factory=dict)
    sealed: Mapping[str, Path] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)

    def endpoint(self, service: str) -> Endpoint:
        """Return the endpoint of `service`. Raises MissingError (not_provisioned)."""
        if service not in self.endpoints:
            raise MissingError("not_provisioned", f"{service} is not provisioned here", "run `ragops up` first")
        return self.endpoints[service]

    def control(self, service: str) -> Control:
        """Return what may be done to `service`. Raises MissingError (not_provisioned)."""
        return self.control_of(self.endpoint(service))

    def services(self) -> tuple[Service, ...]:
        """Return the provisioned services in the order that keeps references whole: metadata first."""
        found = (service for service in SERVICES if service.name in self.endpoints)
        return tuple(service for service in found if service.backup() is not None)
