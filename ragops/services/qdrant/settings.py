"""Settings of the Qdrant service: the vectors of the chunks."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class QdrantSettings(BaseModel):
    """Section `qdrant:` of ragops.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int = Field(6333, ge=1024, le=65535, description="port on 127.0.0.1")
