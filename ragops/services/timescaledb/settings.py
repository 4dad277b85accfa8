"""Settings of the TimescaleDB service: the metadata database with the `rag` schema."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from ragops.services.image_references import Reference, Size, size_bytes

# Names that need no quoting anywhere: SQL, shell, connection strings.
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,48}$")]
# As PostgreSQL writes it; empty: what the runtime makes of the memory there is.
Memory = Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]*(kB|MB|GB))?$")]

_LEAST = 256 << 20


class TimescaleSettings(BaseModel):
    """Section `timescaledb:` of ragops.yaml; from `image` on for runtimes that start images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int = Field(5432, ge=1024, le=65535, description="port on 127.0.0.1")
    database: Identifier = Field("rag", description="name of the database")
    shared_buffers: Memory = Field("", description="memory of the shared page cache; kB, MB or GB")
    work_mem: Memory = Field("", description="memory of one sort or hash; kB, MB or GB")
    max_connections: int = Field(100, ge=10, le=10000, description="most client connections at once")
    max_locks_per_transaction: int = Field(
        0, ge=0, le=100_000, description="locks that a session has room for; 0: by the memory"
    )
    image: Reference = Field("", description="another image than the pinned one")
    memory: Size = Field("2gb", min_length=1, description="most memory of the container, which it is tuned to")
    cpus: int = Field(0, ge=0, le=1024, description="processors that it is tuned to; 0: those of this machine")
    license: Literal["timescale", "apache"] = Field("timescale", description="edition that TimescaleDB is to run as")

    @property
    def memory_bytes(self) -> int:
        """Limit of the container's memory."""
        return size_bytes(self.memory)

    @model_validator(mode="after")
    def _has_room(self) -> TimescaleSettings:
        if self.memory_bytes < _LEAST:
            raise ValueError(f"memory {self.memory} is too little for a database: at least {_LEAST >> 20}mb")
        if size_bytes(self.shared_buffers) > self.memory_bytes // 2 and "memory" in self.model_fields_set:
            raise ValueError(
                f"shared_buffers {self.shared_buffers} leave no room in memory {self.memory}: at most half"
            )
        return self
