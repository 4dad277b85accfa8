"""The Redis service as a Pulumi component."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from ragops.render import render
from ragops.services.contract import Endpoint, Login
from ragops.services.redis import APPLICATION_SECRET, APPLICATION_USER, OPERATOR_SECRET, OPERATOR_USER, VERSION
from ragops.services.spec import ConfigFile, ServiceSpec, TcpCheck

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.redis.settings import RedisSettings
    from ragops.services.spec import Layout, Runtime


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
        self._args = args
        self.process = args.runtime.run(service_spec(args.settings, args.secrets, args.runtime.layout("redis")), self)
        self.endpoint = self._endpoint()
        self.register_outputs({"endpoint": self.endpoint.to_dict()})

    def _endpoint(self) -> Endpoint:
        runtime = self._args.runtime
        return Endpoint(
            service="redis",
            engine="valkey",
            version=VERSION,
            runtime=runtime.name,
            host="127.0.0.1",
            port=self._args.settings.port,
            handle=runtime.handle("redis"),
            logins={
                "operator": Login(OPERATOR_USER, OPERATOR_SECRET),
                "application": Login(APPLICATION_USER, APPLICATION_SECRET),
            },
            capabilities=runtime.capabilities,
        )


def service_spec(settings: RedisSettings, secrets: Mapping[str, str], layout: Layout) -> ServiceSpec:
    """The service as a runtime sees it."""
    return ServiceSpec(
        service="redis",
        version=VERSION,
        command=("valkey-server", f"{layout.config_dir}/redis.conf"),
        files=(
            ConfigFile("redis.conf", render("redis/redis.conf.j2", settings=settings, layout=layout)),
            ConfigFile("users.acl", _acl(secrets), secret=True),
        ),
        ports={"redis": settings.port},
        # Until its data are loaded it answers -LOADING; without a login -NOAUTH, which is as alive as +PONG.
        health=TcpCheck(settings.port, "PING\r\n", ("+PONG", "-NOAUTH")),
        stop_grace=30.0,
        start_timeout=120.0,
    )


def _acl(secrets: Mapping[str, str]) -> str:
    return render(
        "redis/users.acl.j2",
        operator=OPERATOR_USER,
        operator_hash=_sha256(secrets[OPERATOR_SECRET]),
        application=APPLICATION_USER,
        application_hash=_sha256(secrets[APPLICATION_SECRET]),
    )


def _sha256(password: str) -> str:
    """How an ACL file holds a password (redis.io, ACL: `#<hash>`)."""
    return hashlib.sha256(password.encode()).hexdigest()
