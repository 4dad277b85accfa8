"""The Redis service as a Pulumi component."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from ragops.render import render
from ragops.services.contract import Endpoint, Login
from ragops.services.images import tag_version
from ragops.services.redis import (
    APPLICATION_SECRET,
    APPLICATION_USER,
    ENGINE,
    HEALTH_USER,
    IMAGE,
    IMAGE_ENGINE,
    OPERATOR_SECRET,
    OPERATOR_USER,
    VERSION,
)
from ragops.services.spec import ConfigFile, ExecCheck, HealthCheck, ImageSpec, ServiceSpec, TcpCheck

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.redis.settings import RedisSettings
    from ragops.services.spec import Layout, Runtime

_INNER_PORT = 6379


@dataclass(frozen=True)
class RedisArgs:
    """What the component is made from; `secrets` by name."""

    settings: RedisSettings
    secrets: Mapping[str, str]
    runtime: Runtime


class Redis(pulumi.ComponentResource):
    """Redis with the hybrid persistence of AOF and RDB; `endpoint` says how to reach it."""

    def __init__(self, args: RedisArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ragops:service:Redis", "redis", None, opts)
        layout = args.runtime.layout("redis", image_spec(args.settings))
        self.process = args.runtime.run(service_spec(args.settings, args.secrets, layout), self)
        self.endpoint = endpoint(args.settings, args.runtime, layout)
        self.register_outputs({"endpoint": self.endpoint.to_dict()})


def endpoint(settings: RedisSettings, runtime: Runtime, layout: Layout) -> Endpoint:
    """How to reach it, from this machine and from the other services."""
    return Endpoint(
        service="redis",
        engine=IMAGE_ENGINE if layout.in_image else ENGINE,
        version=_version(settings, layout),
        runtime=runtime.name,
        host="127.0.0.1",
        port=settings.port,
        handle=runtime.handle("redis"),
        logins={
            "operator": Login(OPERATOR_USER, OPERATOR_SECRET),
            "application": Login(APPLICATION_USER, APPLICATION_SECRET),
        },
        capabilities=runtime.capabilities,
        inner_host=layout.host if layout.in_image else "",
        inner_port=_INNER_PORT if layout.in_image else 0,
    )


def image_spec(settings: RedisSettings) -> ImageSpec:
    """The image and what is known of its inside; its entrypoint would only change to the same user."""
    return ImageSpec(reference=settings.image or IMAGE, mount="/data", user="redis")


def service_spec(settings: RedisSettings, secrets: Mapping[str, str], layout: Layout) -> ServiceSpec:
    """The service as a runtime sees it."""
    port = layout.port(settings.port, _INNER_PORT)
    conf = render("redis/redis.conf.j2", settings=settings, layout=layout, port=port)
    program = "redis-server" if layout.in_image else "valkey-server"
    return ServiceSpec(
        service="redis",
        version=_version(settings, layout),
        command=(program, f"{layout.config_dir}/redis.conf"),
        files=(ConfigFile("redis.conf", conf), ConfigFile("users.acl", _acl(secrets, layout), secret=True)),
        ports={"redis": port},
        health=_health(port, layout),
        stop_grace=30.0,
        start_timeout=120.0,
        image=image_spec(settings),
        publish={"redis": settings.port},
        memory=settings.memory_bytes,
    )


def _version(settings: RedisSettings, layout: Layout) -> str:
    return tag_version(image_spec(settings).reference) if layout.in_image else VERSION


def _health(port: int, layout: Layout) -> HealthCheck:
    """Whether it serves.

    Without a login it answers -NOAUTH whatever it does, while it reads its data too: alive, but no more is known.
    Inside an image its own client asks by a login that may do nothing else, and hears -LOADING until they are read.
    """
    if not layout.in_image:
        return TcpCheck(port, "PING\r\n", ("+PONG", "-NOAUTH"))
    # The word after --pass is no password: the login has none, and the client wants one to be given.
    ask = f"redis-cli -p {port} --user {HEALTH_USER} --pass none --no-auth-warning PING"
    return ExecCheck(("sh", "-c", f'test "$({ask})" = PONG'))


def _acl(secrets: Mapping[str, str], layout: Layout) -> str:
    """Who may log in, and as what.

    Nobody can be the default user, but it has rights: until redis/redis#14545 (valkey #3984) the append-only file is
    read as this user, and what it may not do is left out of every transaction, silently.
    """
    return render(
        "redis/users.acl.j2",
        operator=OPERATOR_USER,
        operator_hash=_sha256(secrets[OPERATOR_SECRET]),
        application=APPLICATION_USER,
        application_hash=_sha256(secrets[APPLICATION_SECRET]),
        health=HEALTH_USER if layout.in_image else "",
    )


def _sha256(password: str) -> str:
    """How an ACL file holds a password (redis.io, ACL: `#<hash>`)."""
    return hashlib.sha256(password.encode()).hexdigest()
