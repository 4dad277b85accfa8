"""Settings of the RAG API."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from ragops.embedding.spec import (
    BATCH_SECONDS,
    BATCH_SIZE,
    CHAT_CONTEXT,
    CHAT_SECONDS,
    CHAT_TOKENS,
    KEEP_ALIVE,
    QUESTION_SECONDS,
    STATIC_DIMENSIONS,
    KeepAlive,
)
from ragops.services.image_references import Reference, Size  # noqa: TC001  pydantic reads the annotations

# Without user and password: those would be in logs and messages. Keys are in files.
Url = Annotated[str, StringConstraints(pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$")]
ModelName = Annotated[str, StringConstraints(pattern=r"^[^\s\x00-\x1f]{1,255}$")]


class Section(BaseModel):
    """Frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSettings(Section):
    """How a server of models is asked."""

    key_file: str = Field("", description="file (0600) with the key that the server asks for")
    timeout: float = Field(QUESTION_SECONDS, gt=0, le=600, description="seconds for one question")
    batch_timeout: float = Field(BATCH_SECONDS, gt=0, le=3600, description="seconds for one batch of an ingest")
    batch_size: int = Field(BATCH_SIZE, ge=1, le=2048, description="chunks of an ingest in one request")
    keep_alive: KeepAlive = Field(KEEP_ALIVE, description="how long Ollama keeps the model loaded; -1: for ever")
    context: int | None = Field(None, ge=128, le=1_000_000, description="Ollama: tokens of the longest text (num_ctx)")
    query_prefix: str | None = Field(None, description="what questions begin with; empty: as the model's family has it")
    passage_prefix: str | None = Field(None, description="the same of passages")
    least_cosine: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="how near a passage must be that shares too few words with the question; empty: its family's",
    )
    dimensions: int | None = Field(
        None, ge=1, le=65536, description="length of a vector; empty: 384 for hashing, else the model's own"
    )


class EmbedderSettings(ServerSettings):
    """Section `api.embedder:`: what turns text into vectors, for ingest and for questions alike."""

    kind: Literal["auto", "static", "hashing", "ollama", "openai"] = Field(
        "auto", description="auto: ollama if ollama_url is set, else static in the embedded runtime"
    )
    url: Url = Field("", description="URL of the server of models, for kind ollama or openai")
    ollama_url: Url = Field("", description="URL of an Ollama server; kind auto chooses it then")
    model: str = Field("nomic-embed-text", min_length=1, description="the embedding model, as its server names it")

    @model_validator(mode="after")
    def _complete(self) -> EmbedderSettings:
        if self.kind == "ollama" and not self.server:
            raise ValueError("kind ollama needs url or ollama_url")
        if self.kind == "openai" and not self.url:
            raise ValueError("kind openai needs url")
        if self.kind == "auto" and self.url:
            raise ValueError("url needs a kind: ollama or openai")
        if self.kind == "static" and self.dimensions:
            raise ValueError(f"kind static has {STATIC_DIMENSIONS} dimensions, no others")
        return self

    @property
    def server(self) -> str:
        """The URL of its server of models, empty without one."""
        return self.url or self.ollama_url


class ModelSettings(ServerSettings):
    """A further embedder, an entry of `api.models:`: collections choose it by its name."""

    kind: Literal["ollama", "openai"] = Field("ollama", description="the server's protocol")
    url: Url = Field("", description="URL of its server; empty: the embedder's, or the platform's own Ollama")
    model: str = Field("", description="the model as its server names it; empty: the name of the entry")


class ChatSettings(Section):
    """Section `api.chat:`: the model that writes answers from passages."""

    kind: Literal["ollama", "openai"] = Field("ollama", description="the server's protocol")
    model: str = Field("", description="the chat model; empty: the passages are the answer")
    url: Url = Field("", description="URL of its server; empty: the embedder's, if that is of the same kind")
    ollama_url: Url = Field("", description="the same, of an Ollama server")
    key_file: str = Field("", description="file (0600) with the key that the server asks for")
    timeout: float = Field(CHAT_SECONDS, gt=0, le=600, description="seconds for one answer")
    keep_alive: KeepAlive = Field(KEEP_ALIVE, description="how long Ollama keeps the model loaded; -1: for ever")
    context: int = Field(CHAT_CONTEXT, ge=1024, le=1_000_000, description="tokens of question, passages and answer")
    max_tokens: int = Field(CHAT_TOKENS, ge=16, le=100_000, description="most tokens of an answer")

    @model_validator(mode="after")
    def _complete(self) -> ChatSettings:
        if self.kind == "openai" and self.model and not self.url:
            raise ValueError("kind openai needs url")
        if self.max_tokens > self.context // 2:
            raise ValueError("max_tokens is more than half of context: nothing would be left for the passages")
        return self


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


class TracingSettings(Section):
    """Section `api.tracing:`: spans of requests for a collector of OpenTelemetry."""

    endpoint: Url = Field("", description="URL of a collector that takes OTLP over HTTP; empty: no spans are made")
    sample: float = Field(1.0, ge=0, le=1, description="share of traces that begin at the API and are recorded")


class ApiSettings(Section):
    """Section `api:` of ragops.yaml."""

    port: int = Field(8080, ge=1024, le=65535, description="port on 127.0.0.1")
    workers: int = Field(1, ge=1, le=64, description="processes that answer; each has its own circuit breakers")
    image: Reference = Field("", description="another image than the one that ragops builds")
    memory: Size = Field("1gb", description="most memory of its container; kb, mb or gb, empty: no limit")
    embedder: EmbedderSettings = EmbedderSettings()
    models: dict[ModelName, ModelSettings] = Field({}, description="further embedders, by the name collections give")
    chat: ChatSettings = ChatSettings()
    breakers: BreakerSettings = BreakerSettings()
    legacy: LegacySettings = LegacySettings()
    privacy: PrivacySettings = PrivacySettings()
    tracing: TracingSettings = TracingSettings()
    cache_seconds: int = Field(30, ge=0, le=86400, description="how long an answer is kept in Redis; 0: not at all")

    def own_models(self) -> tuple[str, ...]:
        """Return the models that it asks the platform's own server for, there being no URL of another."""
        embedder, chat = self.embedder, self.chat
        own = [embedder.model] if embedder.kind == "auto" and not embedder.server else []
        own += [one.model or name for name, one in self.models.items() if one.kind == "ollama" and self._is_own(one)]
        if chat.model and chat.kind == "ollama" and not (chat.url or chat.ollama_url or self.ollama_url):
            own.append(chat.model)
        return tuple(own)

    def models_without_server(self) -> tuple[str, ...]:
        """Return the entries of `models` that have no URL if the platform runs no server of its own."""
        return tuple(name for name, one in self.models.items() if self._is_own(one))

    def _is_own(self, model: ModelSettings) -> bool:
        return not model.url and (self.embedder.kind != "openai" if model.kind == "openai" else not self.ollama_url)

    @property
    def ollama_url(self) -> str:
        """The URL of the embedder's server if that is Ollama, empty else."""
        return self.embedder.ollama_url or (self.embedder.url if self.embedder.kind == "ollama" else "")

    @property
    def key_files(self) -> tuple[str, ...]:
        """The files of keys that it names, each once."""
        named = (self.embedder.key_file, self.chat.key_file, *(one.key_file for one in self.models.values()))
        return tuple(sorted({name for name in named if name}))
