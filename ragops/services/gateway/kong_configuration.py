"""From settings to Kong's container, its environment and its hot configuration. Pure values, no Pulumi, no Docker."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping  # noqa: TC003  pydantic reads the annotation
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ragops.services.gateway import IMAGE
from ragops.services.gateway.configuration import SmokeTest, smoke_tests
from ragops.services.gateway.kong import render
from ragops.services.gateway.kong_lua import SANDBOX_REQUIRES
from ragops.services.gateway.policy import READY_PATH
from ragops.services.image_references import size_bytes, tag_version
from ragops.services.spec import ConfigFile, ExecCheck, ImageSpec, ServiceSpec

if TYPE_CHECKING:
    from ragops.services.gateway.configuration import GatewayInputs
    from ragops.services.gateway.policy import GatewayPolicy
    from ragops.services.gateway.settings import GatewaySettings
    from ragops.services.spec import Layout

HTTP_PORT, TLS_PORT, ADMIN_PORT = 8000, 8443, 8001
WORKERS = 2
# Below a folder that the image has: a tmpfs gets the mode of its mount point when a container is started again, and one
# that was made for it belongs to root (runc, "mountToRootfs").
PREFIX = "/tmp/kong"  # noqa: S108  inside the image
LOG_FORMAT = "log.conf"

# Failures only, and never a query or a header that could hold a secret.
LOG_CONF = """\
map $status $ragops_failed {
    default 0;
    ~^[45] 1;
}
map $request_uri $ragops_path {
    default '';
    ~^(?<ragops_until_query>[^?]*) $ragops_until_query;
}
log_format ragops escape=json
    '{"time":"$time_iso8601","level":"access","request_id":"$sent_http_x_request_id","method":"$request_method",'
    '"path":"$ragops_path","status":$status,"upstream_status":"$upstream_status","seconds":$request_time,'
    '"from":"$remote_addr"}';
"""

_KEPT_CONNECTIONS = 128  # idle ones of each worker; more are made when they are needed
_ADMIN_BODY = "64m"  # of a configuration: some ten thousand tokens
_SHARED = {
    "DATABASE": "off",
    "PREFIX": PREFIX,
    "ROUTER_FLAVOR": "expressions",
    # Inside the container alone, and reached by exec.
    "ADMIN_LISTEN": f"127.0.0.1:{ADMIN_PORT}",
    "ADMIN_GUI_LISTEN": "off",
    "STATUS_LISTEN": "off",
    "NGINX_DAEMON": "off",
    "ANONYMOUS_REPORTS": "off",
    "HEADERS": "off",
    "HEADERS_UPSTREAM": "off",
    "REQUEST_DEBUG": "off",
    "UNTRUSTED_LUA": "sandbox",
    "UNTRUSTED_LUA_SANDBOX_REQUIRES": ",".join(SANDBOX_REQUIRES),
    "LOG_LEVEL": "warn",
    "PROXY_ERROR_LOG": "/dev/stderr",
    "ADMIN_ACCESS_LOG": "off",
    "ADMIN_ERROR_LOG": "/dev/stderr",
    "LMDB_MAP_SIZE": "128m",
    "MEM_CACHE_SIZE": "16m",
    # Docker's own name server reports 600 s; a new API container would not be found for so long.
    "DNS_ORDER": "LAST,A",
    "DNS_VALID_TTL": "2",
    "DNS_NOT_FOUND_TTL": "1",
    # Only what surely never reached the upstream is tried again.
    "NGINX_PROXY_PROXY_NEXT_UPSTREAM": "error",
    "NGINX_PROXY_CLIENT_HEADER_TIMEOUT": "10s",
    "NGINX_PROXY_LARGE_CLIENT_HEADER_BUFFERS": "4 32k",
    "NGINX_ADMIN_CLIENT_MAX_BODY_SIZE": _ADMIN_BODY,
    "NGINX_ADMIN_CLIENT_BODY_BUFFER_SIZE": _ADMIN_BODY,
}


def environment(policy: GatewayPolicy, document: str, log_conf: str) -> dict[str, str]:
    """Kong's environment; `document` and `log_conf` are the paths of its configuration and of LOG_CONF inside."""
    listen = [f"0.0.0.0:{HTTP_PORT} reuseport backlog=16384"]
    if policy.tls is not None:
        listen.append(f"0.0.0.0:{TLS_PORT} http2 ssl reuseport backlog=16384")
    # In its own network, and not published.
    status = {"STATUS_LISTEN": f"0.0.0.0:{policy.metrics_port}"} if policy.metrics_port else {}
    values = {
        **_SHARED,
        **status,
        "DECLARATIVE_CONFIG": document,
        "PROXY_LISTEN": ", ".join(listen),
        "PROXY_ACCESS_LOG": "/dev/stdout ragops if=$ragops_failed",
        "NGINX_HTTP_INCLUDE": log_conf,
        "NGINX_WORKER_PROCESSES": str(WORKERS),
        "NGINX_PROXY_CLIENT_MAX_BODY_SIZE": str(policy.body_limit),
        "NGINX_PROXY_CLIENT_BODY_TIMEOUT": f"{policy.upstream.answer_timeout}s",
        "UPSTREAM_KEEPALIVE_POOL_SIZE": str(_KEPT_CONNECTIONS),
        "UPSTREAM_KEEPALIVE_IDLE_TIMEOUT": str(policy.upstream.idle_timeout),
        "UPSTREAM_KEEPALIVE_MAX_REQUESTS": str(policy.upstream.connection_requests),
    }
    return {f"KONG_{name}": value for name, value in values.items()}


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
    """What Kong takes over without a restart, and the sign that it did.

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
