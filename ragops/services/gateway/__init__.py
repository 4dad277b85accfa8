"""The gateway: the one door to the platform, an Envoy made from the gateway policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

    from ragops.services.contract import BackupEngine, Endpoint, ProbeResult

VERSION = "1.40.0"


class GatewayService:
    """All that ragops knows about the gateway, behind the service contract."""

    name = "gateway"
    title = "Envoy"

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

    def backup(self) -> BackupEngine | None:
        """None: it has no data of its own."""
        return None

    def outputs(self, endpoint: Endpoint, password: str) -> Mapping[str, str]:  # noqa: ARG002  it has no login
        """Its URLs, and the certificate that they answer with."""
        values = {"GATEWAY_URL": f"http://{endpoint.host}:{endpoint.port}"}
        if port := endpoint.options.get("tls_port"):
            values["GATEWAY_TLS_URL"] = f"https://localhost:{port}"
            values["GATEWAY_CERTIFICATE"] = endpoint.options["certificate"]
        return values
