"""From settings to what Kong's container and its hot configuration are made from. Pure values, no Pulumi, no Docker."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping  # noqa: TC003  pydantic reads the annotation
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ragops.services.gateway import IMAGE
from ragops.services.gateway.configuration import SmokeTest, smoke_tests
from ragops.services.gateway.kong import render
from ragops.services.gateway.kong_environment import HTTP_PORT, LOG_CONF, LOG_FORMAT, PREFIX, TLS_PORT, environment
from ragops.services.gateway.policy import READY_PATH
from ragops.services.image_references import size_bytes, tag_version
from ragops.services.spec import ConfigFile, ExecCheck, ImageSpec, ServiceSpec

if TYPE_CHECKING:
    from ragops.services.gateway.configuration import GatewayInputs
    from ragops.services.gateway.policy import GatewayPolicy
    from ragops.services.gateway.settings import GatewaySettings
    from ragops.services.spec import Layout

DOCUMENT = "kong.json"
USER = "kong"
_HOT_DIR = "/etc/ragops-hot"
# As the image's own entrypoint starts it; `kong start` would stand between it and its signals.
_NGINX = "/usr/local/openresty/nginx/sbin/nginx"
# `kong health` starts a Lua machine to find a pid; this asks for the very thing that has to work.
_ANSWERS = (
    f"exec 3<>/dev/tcp/127.0.0.1/{HTTP_PORT} && printf 'GET {READY_PATH} HTTP/1.0\\r\\n\\r\\n' >&3"
    " && read -r _ status _ <&3 && [ $status = 200 ]"
)


@dataclass(frozen=True)
class KongConfiguration:
    """What Kong takes over without a restart, and how to tell that it did.

    `document` holds the key of the certificate, `files` are the same texts as a person may read them. `image`,
    `environment` and `ports` (published by inner ones) belong to the container that can be asked: another one is about
    to be replaced. `live`, `smoke`, `policy`, `tokens` and `certificate` are as in Envoy's configuration.
    """

    document: str = field(repr=False)
    files: Mapping[str, str]
    live: str
    image: str
    environment: Mapping[str, str]
    ports: Mapping[int, int]
    smoke: tuple[SmokeTest, ...]
    policy: Mapping[str, Any]
    tokens: tuple[str, ...]
    certificate: str = ""

    def digest(self) -> str:
        """SHA-256 of what is applied and of what it is applied to."""
        values = [
            self.document,
            self.image,
            dict(self.environment),
            {str(key): value for key, value in self.ports.items()},
        ]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def image(settings: GatewaySettings) -> ImageSpec:
    """Kong's image."""
    return ImageSpec(
        reference=settings.image or IMAGE,
        mount="",
        user=USER,
        writable=("/tmp",),  # noqa: S108  inside the image: its prefix, and where Kong's own programs leave their scratch
        hot_dir=_HOT_DIR,
    )


def service_spec(inputs: GatewayInputs, layout: Layout) -> ServiceSpec:
    """Kong as a runtime sees it: only what asks for a restart is part of it."""
    settings = inputs.settings
    inner = {"http": HTTP_PORT} | ({"https": TLS_PORT} if settings.tls else {})
    published = {"http": settings.port} | ({"https": settings.tls_port} if settings.tls else {})
    spec_image = image(settings)
    return ServiceSpec(
        service="gateway",
        version=tag_version(spec_image.reference),
        command=("sh", "-c", f"kong prepare -p {PREFIX} && exec {_NGINX} -p {PREFIX} -c nginx.conf"),
        files=(ConfigFile(LOG_FORMAT, LOG_CONF),),
        ports=inner,
        health=ExecCheck(("bash", "-c", _ANSWERS)),
        environment=_environment(inputs, layout),
        stop_signal="SIGQUIT",  # answers what it was asked
        stop_grace=20.0,
        start_timeout=60.0,
        image=spec_image,
        publish=published,
        memory=size_bytes(settings.memory),
    )


def kong_configuration(inputs: GatewayInputs, layout: Layout) -> KongConfiguration:
    """Return the hot configuration of that container."""
    policy = inputs.policy(layout.listen)
    rendering = render(policy, inputs.keys, inputs.pair if policy.tls else None)
    spec = service_spec(inputs, layout)
    return KongConfiguration(
        document=rendering.document,
        files={DOCUMENT: rendering.shown},
        live=rendering.live,
        image=image(inputs.settings).reference,
        environment=spec.environment,
        ports={spec.ports[name]: port for name, port in spec.publish.items()},
        smoke=smoke_tests(policy, rendering.live),
        policy=policy.model_dump(mode="json"),
        tokens=tuple(key["kid"] for key in inputs.keys["keys"]),
        certificate=inputs.fingerprint,
    )


def _environment(inputs: GatewayInputs, layout: Layout) -> dict[str, str]:
    policy: GatewayPolicy = inputs.policy(layout.listen)
    return environment(policy, f"{_HOT_DIR}/{DOCUMENT}", f"{layout.config_dir}/{LOG_FORMAT}")
