"""Settings of the Redis service: the cache of answers and embeddings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from ragops.services.image_references import Reference, Size, size_bytes
from ragops.services.redis import APPLICATION_USER, HEALTH_USER, OPERATOR_USER, variable

# In addition to the data: connections, buffers, the engine itself. Twice the data, because a save forks: in the worst
# case every page is written while the child still has the old one (redis.io, "Redis administration": "up to 2 times the
# memory normally used"). Fragmentation shares that room, as it and the worst case seldom meet.
_BESIDE = 128 << 20
_LEAST_BESIDE = 64 << 20

_CATEGORIES = (
    "all|keyspace|read|write|set|sortedset|list|hash|string|bitmap|hyperloglog|geo|stream|pubsub|admin|fast|slow"
    "|blocking|dangerous|connection|transaction|scripting|json|search|timeseries|bloom|cuckoo|cms|topk|tdigest|vset"
    "|bf|ft|ts"
)
_COMMANDS = rf"[+-](@({_CATEGORIES})|[A-Za-z][\w.:-]*(\|[\w-]+)?)|allcommands|nocommands"
_RULE = rf"{_COMMANDS}|~\S+|%(R|W|RW)~\S+|&\S+|allkeys|resetkeys|allchannels|resetchannels"
_RESERVED = ("default", OPERATOR_USER, APPLICATION_USER, HEALTH_USER)

Rule = Annotated[str, StringConstraints(pattern=rf"^({_RULE}|\(({_RULE})( ({_RULE}))*\))$")]
Pattern = Annotated[str, StringConstraints(pattern=r"^[^\s\x00-\x1f\x7f]+$")]
UserName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,62}$")]
Memory = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(kb|mb|gb)$")]


class RedisUser(BaseModel):
    """A user of `redis.users`: what it may do (a role, then rules on top), on which keys and channels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["none", "read", "write", "monitor", "admin"] = Field(
        "none", description="named rights: `read`, `write` (the application's), `monitor`, `admin`; `none`: rules only"
    )
    rules: tuple[Rule, ...] = Field((), description="ACL rules after those of the role, such as `+get` or `-@write`")
    keys: tuple[Pattern, ...] = Field((), description="patterns of keys, `*` for all; `%R~PATTERN` to read only")
    channels: tuple[Pattern, ...] = Field((), description="patterns of Pub/Sub channels, `*` for all")

    @model_validator(mode="after")
    def _has_keys(self) -> RedisUser:
        if self.role in ("read", "write") and not self.keys and not any(rule[0] in "~%(a" for rule in self.rules):
            raise ValueError(f'role {self.role} reaches no key: add `keys: ["*"]`, or patterns of keys')
        return self


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

    users: dict[UserName, RedisUser] = Field({}, description="users besides the application, by name")
    modules: bool = Field(True, description="load the modules that the image brings (docker runtime)")

    @property
    def memory_bytes(self) -> int:
        """Limit of the container's memory: room for the data, for what a save copies of them, and for the engine."""
        return size_bytes(self.memory) or 2 * size_bytes(self.maxmemory) + _BESIDE

    @model_validator(mode="after")
    def _has_users(self) -> RedisSettings:
        if taken := [name for name in self.users if name in _RESERVED or name.startswith("ragops-")]:
            raise ValueError(f"users.{taken[0]}: that name is ragops' own")
        named: dict[str, str] = {}
        for name in self.users:
            if (other := named.setdefault(variable(name), name)) != name:
                raise ValueError(f"users.{name} and users.{other} would share the variables REDIS_{variable(name)}_…")
        return self

    @model_validator(mode="after")
    def _has_room(self) -> RedisSettings:
        needed = size_bytes(self.maxmemory) + _LEAST_BESIDE
        if self.memory_bytes < needed:
            raise ValueError(
                f"memory {self.memory} is too little for maxmemory {self.maxmemory}: the kernel would end the server;"
                f" at least {needed >> 20}mb, {(2 * size_bytes(self.maxmemory) + _BESIDE) >> 20}mb while it saves"
            )
        return self
