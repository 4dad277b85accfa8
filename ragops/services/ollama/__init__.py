"""Ollama: the models that turn text into vectors and passages into answers. Optional, and for images alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

    from ragops.services.contract import BackupEngine, Endpoint, ProbeResult, VersionStep
    from ragops.services.ollama.settings import OllamaSettings
    from ragops.services.spec import RuntimeTraits

IMAGE = "ollama/ollama:0.17.4"
ENGINE = "ollama"


class OllamaService:
    """All that ragops knows about Ollama, behind the service contract."""

    name = "ollama"
    titles: ClassVar[Mapping[str, str]] = {ENGINE: "Ollama"}

    def settings(self) -> type[BaseModel]:
        """Section `ollama:`."""
        from ragops.services.ollama.settings import OllamaSettings

        return OllamaSettings

    def secrets(self) -> tuple[str, ...]:
        """None: it knows no logins, and is reached from this machine alone."""
        return ()

    def version(self, settings: OllamaSettings, traits: RuntimeTraits) -> str:
        """The image's, by its tag; there is no other."""
        from ragops.services.image_references import tag_version

        return tag_version(settings.image or IMAGE) if traits.uses_images else ""

    def step(self, before: str, after: str) -> VersionStep:
        """Forward only."""
        from ragops.services.versions import forward

        return forward(before, after, "the models are away for some seconds: questions and ingest fail meanwhile")

    def component(self) -> Callable[..., Any]:
        """The Pulumi component."""
        from ragops.services.ollama.component import Ollama

        return Ollama

    def prepare(self, endpoint: Endpoint) -> None:
        """Nothing: its models are a resource of the stack, so that the API starts after them."""

    def probe(self, endpoint: Endpoint, timeout: float) -> ProbeResult:
        """Reachable, and every model there."""
        from ragops.services.ollama.health import probe

        return probe(endpoint, timeout)

    def backup(self) -> BackupEngine | None:
        """None: its models come from where they came from before."""
        return None

    def outputs(self, endpoint: Endpoint, password: str) -> Mapping[str, str]:  # noqa: ARG002  it has no login
        """Its URL."""
        return {"OLLAMA_URL": f"http://{endpoint.host}:{endpoint.port}"}
