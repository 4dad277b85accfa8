"""The RAG API: searches and answers, behind the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import ragops
from ragops.services.contract.lazy import lazy
from ragops.services.contract.service import Program, ScrapeTarget, Service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.api.settings import ApiSettings
    from ragops.services.contract import Endpoint
    from ragops.services.spec import RuntimeTraits

VERSION = ragops.__version__
IMAGE = f"ragops/api:{VERSION}"  # built here, from this very package
# Each calling service has a token of its own, so that the audit can name it.
OPERATOR_SERVICE = "ragops"
OPERATOR_SECRET = "api_service_token"  # noqa: S105  the name of the secret
INGEST_SERVICE = "ingest"
INGEST_SECRET = "api_service_token_ingest"  # noqa: S105  the name of the secret


class ApiService(Service):
    """The RAG API behind the service contract."""

    name = "api"
    titles: ClassVar[Mapping[str, str]] = {"ragops": "RAG API"}
    image = IMAGE
    builds_image = True
    programs = (Program("rag-api", "fastapi"),)
    needs = ("timescaledb", "redis", "qdrant", "ollama")
    exposable = "the RAG API without the gateway's rate limits and TLS"
    image_keys = ("image", "memory")
    section_template = "api/section.yaml.j2"

    step = lazy("ragops.services.versions:restart")
    settings = lazy(".settings:ApiSettings")

    def secrets(self) -> tuple[str, ...]:
        """Return the token of each service that may ask /internal."""
        return (OPERATOR_SECRET, INGEST_SECRET)

    def version(self, settings: ApiSettings, traits: RuntimeTraits) -> str:  # noqa: ARG002
        """Return this package's version, whichever way it is started."""
        return VERSION

    def outputs(self, endpoint: Endpoint, password: str) -> Mapping[str, str]:
        """URL of the API itself, behind the gateway, and the token that opens /internal to a service."""
        return {"API_URL": f"http://{endpoint.host}:{endpoint.port}", "INTER_SERVICE_SECRET": password}

    def scrape_targets(self, endpoint: Endpoint) -> tuple[ScrapeTarget, ...]:
        """Return its one page of metrics, which no gateway passes on."""
        host, port = endpoint.internal_address
        return (ScrapeTarget(endpoint.service, f"http://{host}:{port}/metrics"),)
