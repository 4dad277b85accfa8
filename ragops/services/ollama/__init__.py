"""Ollama: the models that turn text into vectors and passages into answers. Optional, and for images alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ragops.services.contract.lazy import Lazy
from ragops.services.contract.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ragops.services.contract import Declaration, Endpoint, ProbeResult, VersionStep
    from ragops.services.ollama.component import Ollama
    from ragops.services.ollama.settings import OllamaSettings
    from ragops.services.spec import RuntimeTraits

IMAGE = "ollama/ollama:0.17.4"
ENGINE = "ollama"


class OllamaService(Service):
    """Ollama behind the service contract."""

    name = "ollama"
    titles: ClassVar[Mapping[str, str]] = {ENGINE: "Ollama"}
    image = IMAGE
    is_optional = True
    exposable = "the models, which ask for no password"
    section_template = "ollama/section.yaml.j2"

    settings: Lazy[type[OllamaSettings]] = Lazy("ragops.services.ollama.settings:OllamaSettings")
    step: Lazy[Callable[[str, str], VersionStep]] = Lazy("ragops.services.ollama.versions:step")
    declare: Lazy[Callable[[Declaration, Any], Ollama]] = Lazy("ragops.services.ollama.component:declare")
    probe: Lazy[Callable[[Endpoint, float], ProbeResult]] = Lazy("ragops.services.ollama.health:probe")

    def version(self, settings: OllamaSettings, traits: RuntimeTraits) -> str:
        """Return the image's, by its tag; there is no other."""
        from ragops.services.image_references import tag_version

        return tag_version(settings.image or IMAGE) if traits.uses_images else ""

    def outputs(self, endpoint: Endpoint, password: str) -> Mapping[str, str]:  # noqa: ARG002  it has no login
        """Its URL."""
        return {"OLLAMA_URL": f"http://{endpoint.host}:{endpoint.port}"}
