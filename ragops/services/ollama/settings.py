"""Settings of Ollama: which models there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ragops.services.image_references import Reference, Size  # noqa: TC001  pydantic reads the annotations

if TYPE_CHECKING:
    from collections.abc import Iterable

# A name as Ollama writes it: [host/][namespace/]model[:tag].
Model = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]{0,200}$")]


class OllamaSettings(BaseModel):
    """Section `ollama:` of ragops.yaml; without it there is no such service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[Model, ...] = Field(min_length=1, description="models that are fetched before the API starts")
    port: int = Field(11434, ge=1024, le=65535, description="port on 127.0.0.1")
    image: Reference = Field("", description="another image than the pinned one")
    memory: Size = Field("8gb", description="most memory of its container; kb, mb or gb, empty: no limit")

    def lacks(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """Those of the `wanted` models that are not among its own."""
        there = {add_tag(model) for model in self.models}
        return tuple(model for model in wanted if add_tag(model) not in there)


def add_tag(model: str) -> str:
    """Return the name with its tag: without one Ollama means `latest`."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"
