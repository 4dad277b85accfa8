"""Redis: the cache of answers and embeddings, with AOF and RDB together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

    from ragops.services.contract import BackupEngine, Endpoint, ProbeResult, VersionStep
    from ragops.services.redis.settings import RedisSettings

# The embedded engine: Valkey.
VERSION = "9.1.2"
ENGINE = "valkey"

# The server as an image: Redis.
IMAGE = "redis:8.0.2"
IMAGE_ENGINE = "redis"

OPERATOR_USER = "ragops"
OPERATOR_SECRET = "redis_operator"  # noqa: S105  the name of the secret
APPLICATION_USER = "rag"
HEALTH_USER = "health"  # may do nothing but PING, and needs no password for it
APPLICATION_SECRET = "redis_application"  # noqa: S105  the name of the secret


class RedisService:
    """All that ragops knows about Redis, behind the service contract."""

    name = "redis"
    titles: ClassVar[Mapping[str, str]] = {ENGINE: "Valkey", IMAGE_ENGINE: "Redis"}

    def settings(self) -> type[BaseModel]:
        """Section `redis:`."""
        from ragops.services.redis.settings import RedisSettings

        return RedisSettings

    def secrets(self) -> tuple[str, ...]:
        """Passwords of both ACL users."""
        return (OPERATOR_SECRET, APPLICATION_SECRET)

    def version(self, settings: RedisSettings, *, in_image: bool) -> str:
        """The image's, by its tag, or the wheel's."""
        from ragops.services.images import tag_version

        return tag_version(settings.image or IMAGE) if in_image else VERSION

    def step(self, before: str, after: str) -> VersionStep:
        """Forward only."""
        from ragops.services.redis.versions import step

        return step(before, after)

    def component(self) -> Callable[..., Any]:
        """The Pulumi component."""
        from ragops.services.redis.component import Redis

        return Redis

    def prepare(self, endpoint: Endpoint) -> None:
        """Its files hold all of its initial state; only its data may still have to be read."""
        from ragops.services.redis.backup import wait_loaded

        wait_loaded(endpoint)

    def probe(self, endpoint: Endpoint, timeout: float) -> ProbeResult:
        """Reachable, writable, persistence, memory."""
        from ragops.services.redis.health import probe

        return probe(endpoint, timeout)

    def backup(self) -> BackupEngine:
        """By the RDB file of a fresh BGSAVE."""
        from ragops.services.redis.backup import RedisBackup

        return RedisBackup()

    def outputs(self, endpoint: Endpoint, password: str) -> Mapping[str, str]:
        """URL and parts of the application's login."""
        user, where = endpoint.logins["application"].user, f"{endpoint.host}:{endpoint.port}"
        return {
            "REDIS_HOST": endpoint.host,
            "REDIS_PORT": str(endpoint.port),
            "REDIS_USER": user,
            "REDIS_PASSWORD": password,
            "REDIS_URL": f"redis://{user}:{password}@{where}/0",
        }
