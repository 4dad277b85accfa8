"""The gateway: the one door to the platform, an Envoy or a Kong made from one policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ragops.services.contract.lazy import lazy
from ragops.services.contract.service import Program, ScrapeTarget, Service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.contract import Endpoint
    from ragops.services.gateway.settings import GatewaySettings

# Of host processes: Envoy.
VERSION = "1.40.0"

# Of images: Kong, the last line whose images are published.
KONG_VERSION = "3.9.1"
IMAGE = f"kong:{KONG_VERSION}"

# Of Kong, its own port for it inside its network.
KONG_METRICS_PORT = 8100
_METRICS_PATHS = {"envoy": "/stats/prometheus", "kong": "/metrics"}


class GatewayService(Service):
    """The gateway behind the service contract."""

    name = "gateway"
    titles: ClassVar[Mapping[str, str]] = {"envoy": "Envoy", "kong": "Kong"}
    image = IMAGE
    wheel_version = VERSION
    programs = (Program("envoy", "envoy", "_bin/envoy"),)
    needs = ("api",)
    exposable = "the one door; 0.0.0.0 for every network of the machine"
    image_keys = ("image", "memory")
    section_template = "gateway/section.yaml.j2"

    step = lazy("ragops.services.versions:restart")
    settings = lazy(".settings:GatewaySettings")

    def ports(self, settings: GatewaySettings, *, uses_images: bool) -> Mapping[str, int]:  # noqa: ARG002  the same
        """Return the ports of HTTP and of HTTPS."""
        return {"port": settings.port} | ({"tls_port": settings.tls_port} if settings.tls else {})

    def scrape_targets(self, endpoint: Endpoint) -> tuple[ScrapeTarget, ...]:
        """Return its page of statistics, if it has one."""
        port, path = endpoint.options.get("metrics_port"), _METRICS_PATHS[endpoint.engine]
        url = f"http://{endpoint.internal_address[0]}:{port}{path}"
        return (ScrapeTarget(endpoint.service, url),) if port else ()

    def outputs(self, endpoint: Endpoint, password: str) -> Mapping[str, str]:  # noqa: ARG002  it has no login
        """Its URLs, and the certificate that they answer with."""
        values = {"GATEWAY_URL": f"http://{endpoint.host}:{endpoint.port}"}
        if port := endpoint.options.get("tls_port"):
            values["GATEWAY_TLS_URL"] = f"https://localhost:{port}"
            values["GATEWAY_CERTIFICATE"] = endpoint.options["certificate"]
        return values
