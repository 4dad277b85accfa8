"""The gateway: the one door to the platform, an Envoy or a Kong made from one policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

    from ragops.services.contract import BackupEngine, Endpoint, ProbeResult, VersionStep
    from ragops.services.gateway.settings import GatewaySettings
    from ragops.services.spec import RuntimeTraits

# Of host processes: Envoy.
VERSION = "1.40.0"

# Of images: Kong, the last line whose images are published.
KONG_VERSION = "3.9.1"
IMAGE = f"kong:{KONG_VERSION}"


class GatewayService:
    """All that ragops knows about the gateway, behind the service contract."""

    name = "gateway"
    titles: ClassVar[Mapping[str, str]] = {"envoy": "Envoy", "kong": "Kong"}

    def settings(self) -> type[BaseModel]:
        """Section `gateway:`."""
        from ragops.services.gateway.settings import GatewaySettings

        return GatewaySettings

    def secrets(self) -> tuple[str, ...]:
        """None: it holds public keys only, and its TLS key is a file of its own."""
        return ()

    def version(self, settings: GatewaySettings, traits: RuntimeTraits) -> str:
        """The image's, by its tag, or the wheel's."""
        from ragops.services.image_references import tag_version

        return tag_version(settings.image or IMAGE) if traits.uses_images else VERSION

    def step(self, before: str, after: str) -> VersionStep:  # noqa: ARG002
        """Any: all that it knows is rendered for it."""
        from ragops.services.contract import VersionStep

        return VersionStep(True, f"the gateway restarts as {after}: requests fail for a moment")

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
