"""Settings of the Redis service: the cache of answers and embeddings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from ragops.services.images import Reference, Size, size_bytes

# Beside the data: connections, buffers, the engine itself. Twice the data, because a save forks: in the worst case
# every page is written while the child still has the old one (redis.io, "Redis administration": "up to 2 times the
# memory normally used"). Fragmentation shares that room, as it and the worst case seldom meet.
_BESIDE = 128 << 20
_LEAST_BESIDE = 64 << 20

Memory = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(kb|mb|gb)$")]


class RedisSettings(BaseModel):
    """Section `redis:` of ragops.yaml; `image` and `memory` are for runtimes that start images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int = Field(6379, ge=1024, le=65535, description="port on 127.0.0.1")
    maxmemory: Memory = Field("256mb", description="most memory for data; kb, mb or gb")
    maxmemory_policy: Literal[
        "noeviction", "allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-lfu", "volatile-ttl"
    ] = Field("allkeys-lru", description="what to do when maxmemory is reached")
    image: Reference = Field("", description="another image than the pinned one")
    memory: Size = Field("", description="most memory of the container; empty: twice maxmemory and 128 MiB")

    @property
    def memory_bytes(self) -> int:
        """Limit of the container's memory: room for the data, for what a save copies of them, and for the engine."""
        return size_bytes(self.memory) or 2 * size_bytes(self.maxmemory) + _BESIDE

    @model_validator(mode="after")
    def _has_room(self) -> RedisSettings:
        needed = size_bytes(self.maxmemory) + _LEAST_BESIDE
        if self.memory_bytes < needed:
            raise ValueError(
                f"memory {self.memory} is too little for maxmemory {self.maxmemory}: the kernel would end the server;"
                f" at least {needed >> 20}mb, {(2 * size_bytes(self.maxmemory) + _BESIDE) >> 20}mb while it saves"
            )
        return self
