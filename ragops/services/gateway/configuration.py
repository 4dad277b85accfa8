"""From settings to what the gateway's process and its hot configuration are made from. Pure values, no Pulumi."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping  # noqa: TC003  pydantic reads the annotation
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ragops.services.gateway import VERSION
from ragops.services.gateway.envoy import Rendering, render
from ragops.services.gateway.policy import (
    CONFIGURATION_HEADER,
    DENIED,
    READY_PATH,
    Cors,
    GatewayPolicy,
    Jwt,
    Tls,
    Upstream,
    issuer,
    platform_routes,
)
from ragops.services.spec import ConfigFile, HttpCheck, ServiceSpec

if TYPE_CHECKING:
    from ragops.services.gateway.policy import TlsPair
    from ragops.services.gateway.settings import GatewaySettings
    from ragops.services.spec import Layout

BOOTSTRAP = "bootstrap.json"
CHECK_PLACEHOLDER = "{check}"
_HOST = "127.0.0.1"


@dataclass(frozen=True)
class SmokeTest:
    """A GET that must answer with one of `statuses` and with these headers; `ca` is a certificate file for HTTPS."""

    url: str
    statuses: tuple[int, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    ca: str = ""


@dataclass(frozen=True)
class GatewayConfiguration:
    """What is applied without a restart.

    `files` (by name, in this order) lie in `folder`. `command` lets the gateway's own program, its first word, judge
    the text `check`, whose file takes the place of `{check}`. `bootstrap` is the file that the running process was
    started with: if its digest differs, the process is about to be restarted and cannot be asked. `policy` (as JSON
    values), `tokens` (their ids) and `certificate` (its fingerprint) are what all this was made from: the part of it
    that a person reads.
    """

    folder: str
    files: Mapping[str, str]
    check: str
    command: tuple[str, ...]
    bootstrap: str
    bootstrap_digest: str
    smoke: tuple[SmokeTest, ...]
    policy: Mapping[str, Any]
    tokens: tuple[str, ...]
    certificate: str = ""

    def digest(self) -> str:
        """SHA-256 of what is applied; another certificate under the same path is another configuration."""
        text = "\0".join(part for item in self.files.items() for part in item)
        head = f"{self.folder}\0{self.bootstrap_digest}\0{self.certificate}"
        return hashlib.sha256(f"{head}\0{text}".encode()).hexdigest()


@dataclass(frozen=True)
class GatewayInputs:
    """What the gateway is made from, besides where it lies. `keys` is the JWK Set of the tokens that are good.

    `certificate` and `key` are the paths of the TLS files as the gateway sees them, empty without TLS;
    `fingerprint` identifies the certificate, `pair` is the text of both for a gateway that reads no files.
    `metrics_port` is where its statistics are read, 0: nowhere.
    """

    settings: GatewaySettings
    platform: str
    upstream_host: str
    upstream_port: int
    keys: dict[str, Any]
    certificate: str = ""
    key: str = ""
    fingerprint: str = ""
    pair: TlsPair | None = field(default=None, repr=False)
    metrics_port: int = 0

    def with_upstream(self, upstream: tuple[str, int]) -> GatewayInputs:
        """Return the same inputs for the API at this host and port, as the gateway reaches it."""
        return replace(self, upstream_host=upstream[0], upstream_port=upstream[1])

    def policy(self, listen: str) -> GatewayPolicy:
        """Return the policy, listening on the address `listen`.

        Raises pydantic.ValidationError for values that would make an unsafe policy.
        """
        settings = self.settings
        with_tls = settings.tls and self.certificate
        return GatewayPolicy(
            listen=listen,
            port=settings.port,
            tls=Tls(port=settings.tls_port, certificate=self.certificate, key=self.key) if with_tls else None,
            upstream=Upstream(host=self.upstream_host, port=self.upstream_port),
            jwt=Jwt(issuer=issuer(self.platform)),
            rate_limit=settings.rate_limit,
            cors=Cors(origins=settings.origins),
            body_limit=settings.body_bytes,
            metrics_port=self.metrics_port,
            routes=platform_routes(settings.legacy_deprecated, settings.legacy_sunset),
        )


def admin_socket(layout: Layout) -> str:
    """Return the socket of Envoy's statistics, which only its own user may open."""
    return f"{layout.data_dir}/admin.sock"


def hot_folder(layout: Layout) -> str:
    """Where the files lie that are read again when they are replaced."""
    return f"{layout.data_dir}/hot"


def _render(inputs: GatewayInputs, layout: Layout) -> Rendering:
    return render(inputs.policy(layout.listen), inputs.keys, hot_folder(layout), admin_socket(layout))


def service_spec(inputs: GatewayInputs, layout: Layout) -> ServiceSpec:
    """Return the process as a runtime sees it: only what asks for a restart is part of it."""
    settings = inputs.settings
    ports = {"http": settings.port} | ({"https": settings.tls_port} if settings.tls else {})
    ports |= {"metrics": inputs.metrics_port} if inputs.metrics_port else {}
    return ServiceSpec(
        service="gateway",
        version=VERSION,
        command=(
            "envoy", "--config-path", f"{layout.config_dir}/{BOOTSTRAP}", "--mode", "serve",
            "--disable-hot-restart", "--reject-unknown-dynamic-fields", "--concurrency", "2", "--log-level", "warning",
        ),
        files=(ConfigFile(BOOTSTRAP, _render(inputs, layout).bootstrap),),
        ports=ports,
        health=HttpCheck(settings.port, READY_PATH),
        start_timeout=30.0,
    )  # fmt: skip


def configuration(inputs: GatewayInputs, layout: Layout) -> GatewayConfiguration:
    """Return the hot configuration of that process."""
    rendering, policy = _render(inputs, layout), inputs.policy(layout.listen)
    return GatewayConfiguration(
        folder=hot_folder(layout),
        files=rendering.files,
        check=rendering.check,
        command=("envoy", "--mode", "validate", "--config-path", CHECK_PLACEHOLDER, "--log-level", "error"),
        bootstrap=f"{layout.config_dir}/{BOOTSTRAP}",
        bootstrap_digest=hashlib.sha256(rendering.bootstrap.encode()).hexdigest(),
        smoke=smoke_tests(policy, rendering.live),
        policy=policy.model_dump(mode="json"),
        tokens=tuple(key["kid"] for key in inputs.keys["keys"]),
        certificate=inputs.fingerprint,
    )


def smoke_tests(policy: GatewayPolicy, live: str) -> tuple[SmokeTest, ...]:
    """Return the checks that this configuration answers, asks for tokens and closes inner paths; they need no upstream.

    A flood may be on: 429 is as closed as what is expected.
    """
    base = f"http://{_HOST}:{policy.port}"
    ready = {CONFIGURATION_HEADER: live}
    tests = [SmokeTest(f"{base}{READY_PATH}", (200,), ready)]
    if policy.tls is not None:
        secure = f"https://{_HOST}:{policy.tls.port}{READY_PATH}"
        tests.append(SmokeTest(secure, (200,), ready, policy.tls.certificate))
    for route in policy.routes:
        if route.authenticate:
            tests += [SmokeTest(f"{base}{path}", (401, 429)) for path in (*route.prefixes, *route.paths)]
    tests += [SmokeTest(f"{base}{path}", (404, 429)) for path in DENIED]
    return tuple(tests)
