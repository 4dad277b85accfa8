"""The gateway: the one door to the platform, an Envoy made from the gateway policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

    from ragops.services.contract import BackupEngine, Endpoint, ProbeResult

VERSION = "1.40.0"


class GatewayService:
    """All that ragops knows about the gateway, behind the service contract."""

    name = "gateway"
    title = "Envoy (gateway)"

    def settings(self) -> type[BaseModel]:
        """Section `gateway:`."""
        from ragops.services.gateway.settings import GatewaySettings

        return GatewaySettings

    def secrets(self) -> tuple[str, ...]:
        """None: it holds public keys only, and its TLS key is a file of its own."""
        return ()

    def component(self) -> Callable[..., Any]:
        """The Pulumi component."""
        from ragops.services.gateway.component import Gateway

        return Gateway

    def prepare(self, endpoint: Endpoint) -> None:
        """Nothing: its files hold all of its initial state."""

    def probe(self, endpoint: Endpoint, timeout: float) -> ProbeResult:
        """Reachable, closed where it has to be, certificate, upstream."""
        from ragops.services.gateway.health import probe

        return probe(endpoint, timeout)

    def backup(self) -> BackupEngine:
        """There is none: it has no data, and its credentials belong to the platform's own files."""
        raise NotImplementedError("the gateway has no data of its own")
