"""Which model makes vectors or answers, its server and how that is asked: values without I/O.

The same values come from ragops.yaml, go to the API as a part of api.json, and are what an ingest works by.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

HASHING_DIMENSIONS = 384
STATIC_NAME, STATIC_DIMENSIONS = "wordllama-l2-256-v2", 256
FORMER_STATIC_NAME = "wordllama-l2-256-v1"  # of collections that were made before
_HASHING = re.compile(r"hashing-([1-9]\d{0,4})-v1")
# Seconds. A model that was idle is loaded first: about 30 s on a machine without a graphics card.
QUESTION_SECONDS, BATCH_SECONDS, CHAT_SECONDS = 45.0, 300.0, 60.0
KEEP_ALIVE = "30m"
BATCH_SIZE = 32
CHAT_CONTEXT, CHAT_TOKENS = 8192, 1024
# A user or password in a URL would be in logs: there is a file for it.
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#]+[^\s?#]*$")]
KeepAlive = Annotated[str, StringConstraints(pattern=r"^-?\d+(\.\d+)?(ms|s|m|h)?$")]
Kind = Literal["hashing", "static", "ollama", "openai"]
# What the authors of these families have that questions and passages begin with.
_PREFIXES = (
    (re.compile(r"(?:^|[/_-])nomic-embed-text"), ("search_query: ", "search_document: ")),
    (re.compile(r"(?:^|[/_-])e5-(?!.*instruct)(?:small|base|large)"), ("query: ", "passage: ")),
)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSpec(_Section):
    """An embedder. `model` is its name at its server; `name` is that of its space of vectors, which is recorded.

    `timeout` is for one question, `batch_timeout` for `batch_size` chunks of an ingest, both in seconds. `context` is
    in tokens, of Ollama only. A prefix of None is that of the model's family, if it is known. `least_cosine` is how
    near a passage must be that shares too few words with a question; None: that of its family.
    """

    kind: Kind
    model: str = ""
    name: str = ""
    url: Url | None = None
    dimensions: int | None = Field(None, ge=1, le=65536)
    key_file: str = ""
    timeout: float = Field(QUESTION_SECONDS, gt=0)
    batch_timeout: float = Field(BATCH_SECONDS, gt=0)
    batch_size: int = Field(BATCH_SIZE, ge=1)
    keep_alive: KeepAlive = KEEP_ALIVE
    context: int | None = Field(None, ge=1)
    query_prefix: str | None = None
    passage_prefix: str | None = None
    least_cosine: float | None = Field(None, ge=-1, le=1)

    @model_validator(mode="after")
    def _complete(self) -> ModelSpec:
        if self.is_served and not (self.url and self.model):
            raise ValueError(f"{self.kind} needs a url and a model")
        return self

    @property
    def is_served(self) -> bool:
        """Whether a server computes it, not this process."""
        return self.kind in ("ollama", "openai")

    @property
    def space(self) -> str:
        """The name that is recorded with its vectors."""
        if self.kind == "hashing":
            return f"hashing-{self.dimensions or HASHING_DIMENSIONS}-v1"
        return self.name or (STATIC_NAME if self.kind == "static" else self.model)

    @property
    def prefixes(self) -> tuple[str, str]:
        """What a question and a passage begin with, for the model alone."""
        family = next((found for pattern, found in _PREFIXES if pattern.search(self.model.lower())), ("", ""))
        given = (self.query_prefix, self.passage_prefix)
        query, passage = (known if own is None else own for own, known in zip(given, family, strict=True))
        return query, passage


class ChatSpec(_Section):
    """The model that writes answers; `context` and `max_tokens` (of the answer) in tokens, `timeout` in seconds."""

    kind: Literal["ollama", "openai"] = "ollama"
    model: str = Field(min_length=1)
    url: Url
    key_file: str = ""
    timeout: float = Field(CHAT_SECONDS, gt=0)
    keep_alive: KeepAlive = KEEP_ALIVE
    context: int = Field(CHAT_CONTEXT, ge=1)
    max_tokens: int = Field(CHAT_TOKENS, ge=1)


def local_spec(name: str) -> ModelSpec | None:
    """Return the embedder of that name which needs no server, None if there is none."""
    if name in (STATIC_NAME, FORMER_STATIC_NAME):
        return ModelSpec(kind="static", name="" if name == STATIC_NAME else name)
    found = _HASHING.fullmatch(name)
    dimensions = int(found[1]) if found else 0
    return ModelSpec(kind="hashing", dimensions=dimensions) if 1 <= dimensions <= 65536 else None
