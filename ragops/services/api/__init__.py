"""The RAG API: searches and answers, behind the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import ragops

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

    from ragops.services.api.settings import ApiSettings
    from ragops.services.contract import BackupEngine, Endpoint, ProbeResult, VersionStep
    from ragops.services.spec import RuntimeTraits

VERSION = ragops.__version__
IMAGE = f"ragops/api:{VERSION}"  # built here, from this very package
# Each calling service has a token of its own, so that the audit can name it.
OPERATOR_SERVICE = "ragops"
OPERATOR_SECRET = "api_service_token"  # noqa: S105  the name of the secret
INGEST_SERVICE = "ingest"
INGEST_SECRET = "api_service_token_ingest"  # noqa: S105  the name of the secret


class ApiService:
    """All that ragops knows about the RAG API, behind the service contract."""

    name = "api"
    titles: ClassVar[Mapping[str, str]] = {"ragops": "RAG API"}

    def settings(self) -> type[BaseModel]:
        """Section `api:`."""
        from ragops.services.api.settings import ApiSettings

        return ApiSettings

    def secrets(self) -> tuple[str, ...]:
        """The token of each service that may ask /internal."""
        return (OPERATOR_SECRET, INGEST_SECRET)

    def version(self, settings: ApiSettings, traits: RuntimeTraits) -> str:  # noqa: ARG002
        """This package's own, whichever way it is started."""
        return VERSION

    def step(self, before: str, after: str) -> VersionStep:  # noqa: ARG002
        """Any: it has no data of its own."""
        from ragops.services.contract import VersionStep

        return VersionStep(True, f"the API restarts as {after}: requests fail for a moment")

    def component(self) -> Callable[..., Any]:
        """The Pulumi component."""
        from ragops.services.api.component import Api

        return Api

    def prepare(self, endpoint: Endpoint) -> None:
        """Nothing: its files hold all of its initial state."""

    def probe(self, endpoint: Endpoint, timeout: float) -> ProbeResult:
        """Reachable, able to answer, circuit breakers."""
        from ragops.services.api.health import probe

        return probe(endpoint, timeout)

    def backup(self) -> BackupEngine | None:
        """None: it has no data of its own."""
        return None

    def outputs(self, endpoint: Endpoint, password: str) -> Mapping[str, str]:
        """URL of the API itself, behind the gateway, and the token that opens /internal to a service."""
        return {"API_URL": f"http://{endpoint.host}:{endpoint.port}", "INTER_SERVICE_SECRET": password}
