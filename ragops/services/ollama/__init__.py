"""Ollama: the models that turn text into vectors and passages into answers. Optional, and for images alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ragops.services.contract.lazy import lazy
from ragops.services.contract.service import Service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.contract import Endpoint

IMAGE = "ollama/ollama:0.17.4"
ENGINE = "ollama"


class OllamaService(Service):
    """Ollama behind the service contract."""

    name = "ollama"
    titles: ClassVar[Mapping[str, str]] = {ENGINE: "Ollama"}
    image = IMAGE
    is_optional = True
    update_cost = "the models are away for some seconds: questions and ingest fail until then"
    exposable = "the models, which ask for no password"
    section_template = "ollama/section.yaml.j2"

    settings = lazy(".settings:OllamaSettings")
    declare = lazy(".component:Ollama")

    def outputs(self, endpoint: Endpoint, password: str) -> Mapping[str, str]:  # noqa: ARG002  it has no login
        """Its URL."""
        return {"OLLAMA_URL": f"http://{endpoint.host}:{endpoint.port}"}
