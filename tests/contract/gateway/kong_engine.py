"""The real Kong in a container, configured by ragops, hardened as the docker runtime hardens it."""

from __future__ import annotations

import contextlib
import datetime
import json
import tempfile
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ragops.adapters.docker.client import DockerHost
from ragops.errors import RagopsError
from ragops.runtimes.docker.containers import files as docker_files
from ragops.runtimes.docker.containers.files import FileSet
from ragops.runtimes.docker.gateway import KongAdapter
from ragops.runtimes.docker.kong import apply as kong_apply
from ragops.runtimes.docker.kong.apply import KongPlace
from ragops.runtimes.docker.provision import args as docker_args
from ragops.services.contract import Capability, Endpoint
from ragops.services.gateway import IMAGE, certificate
from ragops.services.gateway.configuration import GatewayInputs
from ragops.services.gateway.kong_configuration import KongConfiguration, image, kong_configuration, service_spec
from ragops.services.gateway.policy import READY_PATH, TlsPair
from ragops.services.gateway.settings import GatewaySettings
from tests.contract.gateway.asked import Gateway, running
from tests.contract.gateway.upstream import Signer, Upstream
from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOT_HERE = "not here: "


def docker_with_kong() -> tuple[DockerHost, str]:
    """The engine and the id of Kong's image; skips where either is missing."""
    docker = DockerHost()
    try:
        docker.engine()
    except RagopsError as error:
        pytest.skip(f"{NOT_HERE}a Docker engine ({error.message})")
    if (found := docker.image_id(IMAGE)) is None:
        pytest.skip(f"{NOT_HERE}the image {IMAGE} (docker pull it)")
    return docker, found


def host_address(docker: DockerHost) -> str:
    """This machine, as a container on Docker's own bridge reaches it."""
    return str(docker.api.inspect_network("bridge")["IPAM"]["Config"][0].get("Gateway") or "172.17.0.1")


class KongGateway:
    """The real Kong as ragops runs it: its container and hot file, without Pulumi in between."""

    def __init__(self, folder: Path, upstream: tuple[str, int], signer: Signer, **settings: Any) -> None:
        self.docker, self.image_id = docker_with_kong()
        name = f"ragops-test-{uuid.uuid4().hex[:8]}"
        self.place = KongPlace(name, f"{name}-hot", self.image_id, {"io.ragops.platform": name})
        port, tls_port = free_ports(2)
        files = certificate.ensure(folder / "tls", datetime.datetime.now(tz=datetime.UTC))
        self.inputs = GatewayInputs(
            settings=GatewaySettings(port=port, tls_port=tls_port, **settings),
            platform="contract",
            upstream_host=upstream[0],
            upstream_port=upstream[1],
            keys={"keys": [signer.jwk()]},
            certificate=str(files.certificate),
            key=str(files.key),
            pair=files.pair(),
        )
        self.layout = docker_args.layout("gateway", image(self.inputs.settings))

    def configuration(self, **changes: Any) -> KongConfiguration:
        """The hot configuration, with other keys or settings."""
        return kong_configuration(self.changed(**changes), self.layout)

    def changed(self, **changes: Any) -> GatewayInputs:
        """The inputs, with other keys or settings and the certificate as it is now."""
        settings = self.inputs.settings.model_copy(update=changes.pop("settings", {}))
        pair = TlsPair(Path(self.inputs.certificate).read_text(), Path(self.inputs.key).read_text())
        return replace(self.inputs, settings=settings, **{"pair": pair, **changes})

    @property
    def door(self) -> KongAdapter:
        return KongAdapter(self.docker, self.place, self.layout)

    def altered(self, change: Callable[[dict[str, Any]], None]) -> KongConfiguration:
        """The configuration with a change, as a renderer with a mistake would make it."""
        wanted = self.configuration()
        values = json.loads(wanted.document)
        change(values)
        return replace(wanted, document=json.dumps(values))

    def with_an_unknown_field(self) -> KongConfiguration:
        return self.altered(lambda values: values["upstreams"][0].update(no_such_field=1))

    def without_token_check(self) -> KongConfiguration:
        def open_all(values: dict[str, Any]) -> None:
            values["services"][0]["plugins"] = []

        return self.altered(open_all)

    def endpoint(self) -> Endpoint:
        settings = self.inputs.settings
        return Endpoint(
            service="gateway", engine="kong", version="3.9.1", runtime="docker", host="127.0.0.1", port=settings.port,
            runtime_id=self.place.container,
            options={"tls_port": str(settings.tls_port), "certificate": self.inputs.certificate},
            capabilities=frozenset({Capability.READ_FILES}), inner_host="gateway", inner_port=8000,
        )  # fmt: skip

    def apply(self, wanted: KongConfiguration | None = None) -> None:
        kong_apply.apply(self.docker, self.place, wanted or self.configuration())

    def start(self) -> None:
        self.apply()
        self.create()
        self.docker.start(self.place.container)
        self.wait()

    def create(self) -> None:
        spec = service_spec(self.inputs, self.layout)
        config = f"{self.place.container}-config"
        files = {file.name: file.content for file in spec.files}
        docker_files.write(self.docker, FileSet(config, self.image_id, "kong", files, {}, self.place.labels))
        inner = {name: f"{number}/tcp" for name, number in spec.ports.items()}
        self.docker.create(
            self.place.container,
            {
                "Image": self.image_id,
                "User": "kong",
                "Entrypoint": [],
                "Cmd": list(spec.command),
                "Env": [f"{name}={value}" for name, value in spec.environment.items()],
                "Labels": dict(self.place.labels),
                "StopSignal": spec.stop_signal,
                "ExposedPorts": {port: {} for port in inner.values()},
                "HostConfig": {
                    "PortBindings": {
                        inner[name]: [{"HostIp": "127.0.0.1", "HostPort": str(port)}]
                        for name, port in spec.publish.items()
                    },
                    "Binds": [f"{config}:{self.layout.config_dir}:ro", f"{self.place.volume}:/etc/ragops-hot:ro"],
                    "ReadonlyRootfs": True,
                    "Tmpfs": dict.fromkeys(spec.image.writable, docker_args._TMPFS),
                    "Memory": spec.memory,
                    "CapDrop": ["ALL"],
                    "SecurityOpt": ["no-new-privileges"],
                },
            },
        )

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        url = f"http://127.0.0.1:{self.inputs.settings.port}{READY_PATH}"
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(url, trust_env=False).status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(self.log())

    def log(self) -> str:
        return "\n".join(self.docker.logs(self.place.container, 60))

    def stop(self) -> None:
        for name in (self.place.container, f"{self.place.container}.check", f"{self.place.volume}.look"):
            self.docker.remove(name, force=True)
        for volume in (self.place.volume, f"{self.place.container}-config"):
            with contextlib.suppress(RagopsError):
                self.docker.remove_volume(volume)


@contextlib.contextmanager
def running_kong(**settings: Any) -> Iterator[tuple[KongGateway, Gateway]]:
    docker, _ = docker_with_kong()
    folder = Path(tempfile.mkdtemp(prefix="ragops-test-"))
    host = host_address(docker)
    upstream, signer = Upstream(host=host), Signer("tok_0123456789ab")
    engine = KongGateway(folder, (host, upstream.port), signer, **settings)
    with running(engine, signer, upstream, folder) as gateway:
        yield engine, gateway
