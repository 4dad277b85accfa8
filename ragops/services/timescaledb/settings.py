"""Settings of the TimescaleDB service: the metadata database with the `rag` schema."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

# Names that need no quoting anywhere: SQL, shell, connection strings.
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,48}$")]
Memory = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(kB|MB|GB)$")]


class TimescaleSettings(BaseModel):
    """Section `timescaledb:` of ragops.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int = Field(5432, ge=1024, le=65535, description="port on 127.0.0.1")
    database: Identifier = Field("rag", description="name of the database")
    shared_buffers: Memory = Field("128MB", description="memory of the shared page cache; kB, MB or GB")
    max_connections: int = Field(100, ge=10, le=10000, description="most client connections at once")
