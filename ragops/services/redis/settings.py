"""Settings of the Redis service: the cache of answers and embeddings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Memory = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(kb|mb|gb)$")]


class RedisSettings(BaseModel):
    """Section `redis:` of ragops.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int = Field(6379, ge=1024, le=65535, description="port on 127.0.0.1")
    maxmemory: Memory = Field("256mb", description="most memory for data; kb, mb or gb")
    maxmemory_policy: Literal[
        "noeviction", "allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-lfu", "volatile-ttl"
    ] = Field("allkeys-lru", description="what to do when maxmemory is reached")
