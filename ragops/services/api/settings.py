"""Settings of the RAG API."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from ragops.services.image_references import Reference, Size  # noqa: TC001  pydantic reads the annotations

Url = Annotated[str, StringConstraints(pattern=r"^(https?://[^\s/?#]+[^\s?#]*)?$")]


class Section(BaseModel):
    """Frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EmbedderSettings(Section):
    """Section `api.embedder:`: what turns text into vectors, for ingest and for questions alike."""

    kind: Literal["auto", "hashing", "ollama"] = Field(
        "auto", description="auto: ollama if ollama_url is set, else hashing in the embedded runtime"
    )
    ollama_url: Url = Field("", description="URL of an Ollama server")
    model: str = Field("nomic-embed-text", min_length=1, description="Ollama's embedding model")
    dimensions: int | None = Field(
        None, ge=1, le=65536, description="length of a vector; empty: 384 for hashing, the model's own for ollama"
    )

    @model_validator(mode="after")
    def _complete(self) -> EmbedderSettings:
        if self.kind == "ollama" and not self.ollama_url:
            raise ValueError("kind ollama needs ollama_url")
        return self


class ChatSettings(Section):
    """Section `api.chat:`: the model that writes answers from passages."""

    model: str = Field("", description="Ollama's chat model; empty: the passages are the answer")
    ollama_url: Url = Field("", description="URL of its server; empty: the embedder's")


class BreakerSettings(Section):
    """Section `api.breakers:`."""

    failures: int = Field(5, ge=1, le=1000, description="failures in a row that open a breaker")
    reset_seconds: float = Field(30, gt=0, le=3600, description="seconds until one call may try again")


class LegacySettings(Section):
    """Section `api.legacy:`: the paths without a version."""

    deprecated: date = Field(date(2026, 11, 23), description="the day (UTC) since which they are deprecated")
    sunset: date = Field(date(2027, 5, 23), description="the day (UTC) from which they answer 410")

    @model_validator(mode="after")
    def _in_order(self) -> LegacySettings:
        if self.sunset < self.deprecated:
            raise ValueError("sunset lies before deprecated")
        return self


class PrivacySettings(Section):
    """Section `api.privacy:`."""

    query_text: Literal["keep", "hash", "omit"] = Field("keep", description="what the query log keeps of a question")


class ApiSettings(Section):
    """Section `api:` of ragops.yaml."""

    port: int = Field(8080, ge=1024, le=65535, description="port on 127.0.0.1")
    workers: int = Field(1, ge=1, le=64, description="processes that answer; each has its own circuit breakers")
    image: Reference = Field("", description="another image than the one that ragops builds")
    memory: Size = Field("1gb", description="most memory of its container; kb, mb or gb, empty: no limit")
    embedder: EmbedderSettings = EmbedderSettings()
    chat: ChatSettings = ChatSettings()
    breakers: BreakerSettings = BreakerSettings()
    legacy: LegacySettings = LegacySettings()
    privacy: PrivacySettings = PrivacySettings()
    cache_seconds: int = Field(30, ge=0, le=86400, description="how long an answer is kept in Redis; 0: not at all")

    def own_models(self) -> tuple[str, ...]:
        """Return the models that it asks the platform's own server for, there being no URL of another."""
        embedder = self.embedder
        own = [embedder.model] if embedder.kind == "auto" and not embedder.ollama_url else []
        chat = self.chat.model if not (self.chat.ollama_url or embedder.ollama_url) else ""
        return (*own, *([chat] if chat else []))
