"""The Redis service as a Pulumi component."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from ragops.render import render
from ragops.services.contract import Endpoint, Login
from ragops.services.image_references import tag_version
from ragops.services.monitoring import MONITOR, REDIS_SECRET, REDIS_USER
from ragops.services.redis import (
    APPLICATION_SECRET,
    APPLICATION_USER,
    ENGINE,
    HEALTH_USER,
    IMAGE,
    IMAGE_ENGINE,
    OPERATOR_SECRET,
    OPERATOR_USER,
    USER_ROLE,
    VERSION,
    user_secret,
)
from ragops.services.redis.aof import GUARD
from ragops.services.redis.modules import WITH_MODULES
from ragops.services.redis.users import acl_text, mark_in
from ragops.services.spec import ConfigFile, ExecCheck, HealthCheck, ImageSpec, ServiceSpec, TcpCheck, local_endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.contract import Declaration
    from ragops.services.redis.settings import RedisSettings
    from ragops.services.spec import Layout, Runtime

_INNER_PORT = 6379
USERS_FILE = "users.acl"


class Redis(pulumi.ComponentResource):
    """Redis with the hybrid persistence of AOF and RDB; `endpoint` is its address and logins."""

    def __init__(self, declaration: Declaration, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ragops:service:Redis", "redis", None, opts)
        settings, secrets, runtime = declaration.settings, declaration.secrets, declaration.runtime
        layout = runtime.layout("redis", image_spec(settings))
        monitored = declaration.is_monitored
        self.process = runtime.run(service_spec(settings, secrets, layout, is_monitored=monitored), self)
        users = acl_text(settings, secrets, health_user=layout.uses_images, is_monitored=monitored)
        self.endpoint = endpoint(settings, runtime, layout, users, is_monitored=monitored)
        self.register_outputs({"endpoint": self.endpoint.to_dict()})


def endpoint(
    settings: RedisSettings, runtime: Runtime, layout: Layout, users: str = "", *, is_monitored: bool = False
) -> Endpoint:
    """How to reach it, from this machine and from the other services.

    `users` is the file of users; options: the names of all (`users`, by commas) and what marks the file (`users_file`).
    """
    monitor = (REDIS_USER,) if is_monitored else ()
    names = (OPERATOR_USER, APPLICATION_USER, HEALTH_USER, *monitor, *settings.users)
    return local_endpoint(
        "redis",
        runtime,
        layout,
        engine=IMAGE_ENGINE if layout.uses_images else ENGINE,
        version=_version(settings, layout),
        port=settings.port,
        inner_port=_INNER_PORT,
        options={"users": ",".join(names), "users_file": mark_in(users)},
        logins={
            "operator": Login(OPERATOR_USER, OPERATOR_SECRET),
            "application": Login(APPLICATION_USER, APPLICATION_SECRET),
            **({MONITOR: Login(REDIS_USER, REDIS_SECRET)} if is_monitored else {}),
            **{f"{USER_ROLE}{name}": Login(name, user_secret(name)) for name in sorted(settings.users)},
        },
    )


def image_spec(settings: RedisSettings) -> ImageSpec:
    """Return the image and what is known of its inside; its entrypoint would only change to the same user."""
    return ImageSpec(reference=settings.image or IMAGE, mount="/data", user="redis", hot_dir="/etc/ragops-hot")


def service_spec(
    settings: RedisSettings, secrets: Mapping[str, str], layout: Layout, *, is_monitored: bool = False
) -> ServiceSpec:
    """Return the service as a runtime sees it."""
    port = layout.port(settings.port, _INNER_PORT)
    conf = render("redis/redis.conf.j2", settings=settings, layout=layout, port=port)
    text = acl_text(settings, secrets, health_user=layout.uses_images, is_monitored=is_monitored)
    users = ConfigFile(USERS_FILE, text, secret=True)
    own, hot = layout.split(users)
    return ServiceSpec(
        service="redis",
        version=_version(settings, layout),
        command=_command(settings, layout),
        files=(ConfigFile("redis.conf", conf), *own),
        hot=hot,
        ports={"redis": port},
        health=_health(port, layout),
        stop_grace=30.0,
        start_timeout=120.0,
        image=image_spec(settings),
        publish={"redis": settings.port},
        memory=settings.memory_bytes,
        guard=GUARD,
    )


def _command(settings: RedisSettings, layout: Layout) -> tuple[str, ...]:
    """Return the server's command, inside an image with the modules that it brings, if any."""
    conf = f"{layout.config_dir}/redis.conf"
    if not layout.uses_images:
        return ("valkey-server", conf)
    return ("sh", "-c", WITH_MODULES, "redis", conf) if settings.modules else ("redis-server", conf)


def _version(settings: RedisSettings, layout: Layout) -> str:
    return tag_version(image_spec(settings).reference) if layout.uses_images else VERSION


def _health(port: int, layout: Layout) -> HealthCheck:
    """Whether it serves.

    Without a login it answers -NOAUTH whatever it does, while it reads its data too: alive, but no more is known.
    Inside an image its own client asks by a login that may do nothing else, and hears -LOADING until they are read.
    """
    if not layout.uses_images:
        return TcpCheck(port, "PING\r\n", ("+PONG", "-NOAUTH"))
    # The word after --pass is no password: the login has none, and the client wants one to be given.
    ask = f"redis-cli -p {port} --user {HEALTH_USER} --pass none --no-auth-warning PING"
    return ExecCheck(("sh", "-c", f'test "$({ask})" = PONG'))
