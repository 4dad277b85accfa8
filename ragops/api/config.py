"""The configuration of the service: api.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date  # noqa: TC003  pydantic reads the annotation
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from ragops.adapters.qdrant.addresses import Address
from ragops.adapters.qdrant.sparse import LANGUAGE
from ragops.adapters.secret_file import ReloadingSecretFile
from ragops.embedding.spec import ChatSpec, ModelSpec  # noqa: TC001  pydantic reads the annotations
from ragops.errors import InvalidInputError, Problem, UsageError

_REQUEST_SECONDS, _SLACK = 30.0, 10.0
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#]+[^\s?#]*$")]


class Section(BaseModel):
    """Frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Listen(Section):
    """Where the service listens."""

    host: str = "127.0.0.1"
    port: int = Field(ge=1, le=65535)


class QdrantConfig(Section):
    """The vector store: the URLs of every node, those of gRPC in the same order if it has it."""

    urls: tuple[Url, ...] = Field(min_length=1)
    grpc_urls: tuple[Url, ...] = ()
    api_key_file: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> QdrantConfig:
        if self.grpc_urls and len(self.grpc_urls) != len(self.urls):
            raise ValueError("grpc_urls needs one URL for each of urls")
        return self

    def addresses(self) -> tuple[Address, ...]:
        """Return the nodes, each called by its URL."""
        grpc_urls = self.grpc_urls or ("",) * len(self.urls)
        pairs = zip(self.urls, grpc_urls, strict=True)
        return tuple(Address(url, url.rstrip("/"), grpc_url.rstrip("/")) for url, grpc_url in pairs)


class RedisConfig(Section):
    """The cache of answers, which may be down."""

    host: str
    port: int
    user: str
    password_file: str


class DatabaseConfig(Section):
    """The metadata database."""

    host: str
    port: int
    dbname: str
    user: str
    password_file: str


class BreakerConfig(Section):
    """When a breaker opens, and after how many seconds it lets one call try again."""

    failures: int = Field(5, ge=1)
    reset_seconds: float = Field(30, gt=0)


class LegacyConfig(Section):
    """The days (UTC) from which paths without a version are deprecated and gone."""

    deprecated: date
    sunset: date


class PrivacyConfig(Section):
    """What the query log keeps of a question."""

    query_text: Literal["keep", "hash", "omit"] = "keep"


class SearchConfig(Section):
    """How questions find passages; `least_cosine` is None for the embedder's own.

    `language` is for ingest, which records that of each collection.
    """

    mode: Literal["hybrid", "dense", "sparse"] = "hybrid"
    language: str = LANGUAGE
    least_cosine: float | None = None


class TimeoutConfig(Section):
    """Seconds: one attempt at a Qdrant node, a whole request; that of a model is the model's own."""

    qdrant: float = Field(2, gt=0)
    request: float | None = Field(None, gt=0)


class TracingConfig(Section):
    """Where spans are sent, by OTLP over HTTP, and the share of traces that begin here."""

    endpoint: Url
    sample: float = Field(1.0, ge=0, le=1)


class CacheConfig(Section):
    """How many seconds an answer is kept in Redis; 0 keeps none."""

    seconds: int = Field(30, ge=0)


Secret = Callable[[], tuple[str, ...]]  # the values that may be valid now, the one to send first


class ApiConfig(Section):
    """The whole of api.json; files are named relative to its folder."""

    listen: Listen
    platform: str
    issuer: str = Field(min_length=1)
    jwks_file: str
    service_tokens_file: str | None = None
    qdrant: QdrantConfig
    redis: RedisConfig | None = None
    database: DatabaseConfig | None = None
    embedder: ModelSpec
    models: dict[str, ModelSpec] = {}  # further ones, by the name of their space
    chat: ChatSpec | None = None
    breakers: BreakerConfig = BreakerConfig()
    legacy: LegacyConfig
    privacy: PrivacyConfig = PrivacyConfig()
    search: SearchConfig = SearchConfig()
    timeouts: TimeoutConfig = TimeoutConfig()
    cache: CacheConfig = CacheConfig()
    tracing: TracingConfig | None = None
    workers: int = Field(1, ge=1, le=64)
    folder: Path = Field(default=Path(), exclude=True)

    @property
    def request_seconds(self) -> float:
        """How long a request may take: a model that has to be loaded first is waited for."""
        if self.timeouts.request is not None:
            return self.timeouts.request
        served = [spec.timeout for spec in (self.embedder, *self.models.values()) if spec.is_served]
        return max(_REQUEST_SECONDS, max(served, default=0.0) + (self.chat.timeout if self.chat else 0.0) + _SLACK)

    def path(self, name: str) -> Path:
        """Return the path of a file that the configuration names."""
        return self.folder / name

    def secret(self, name: str | None) -> Secret:
        """Return a reader of the present values in the file of one secret; none if no file is named.

        During a rotation there are two. Raises UsageError.
        """
        if not name:
            return lambda: ()
        try:
            return ReloadingSecretFile(self.path(name)).lines
        except OSError as error:
            raise UsageError("secret_unreadable", f"{self.path(name)}: {error.strerror}", "run: ragops up") from error


def load(path: Path) -> ApiConfig:
    """Read api.json; raises InvalidInputError with every fault in it, UsageError if it cannot be read."""
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError("api_config_unreadable", f"{path}: {error}", "run: ragops up") from error
    try:
        return ApiConfig.model_validate(values).model_copy(update={"folder": path.absolute().parent})
    except ValidationError as error:
        problems = [
            Problem(str(path), ".".join(map(str, fault["loc"])), fault["msg"])
            for fault in error.errors(include_input=False, include_url=False)
        ]
        raise InvalidInputError("api_config_invalid", f"{path} is not valid", problems) from error
