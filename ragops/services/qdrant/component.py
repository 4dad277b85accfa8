"""The Qdrant service as a Pulumi component."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from ragops.services.contract import Endpoint, Login
from ragops.services.qdrant import API_KEY_SECRET, ENGINE, VERSION
from ragops.services.spec import ConfigFile, HttpCheck, ServiceSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.qdrant.settings import QdrantSettings
    from ragops.services.spec import Layout, Runtime


@dataclass(frozen=True)
class QdrantArgs:
    """What the component is made from; `secrets` by name."""

    settings: QdrantSettings
    secrets: Mapping[str, str]
    runtime: Runtime


class Qdrant(pulumi.ComponentResource):
    """One node with an API key; `endpoint` says how to reach it."""

    def __init__(self, args: QdrantArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ragops:service:Qdrant", "qdrant", None, opts)
        self._args = args
        self.process = args.runtime.run(service_spec(args.settings, args.secrets, args.runtime.layout("qdrant")), self)
        self.endpoint = self._endpoint()
        self.register_outputs({"endpoint": self.endpoint.to_dict()})

    def _endpoint(self) -> Endpoint:
        runtime, port = self._args.runtime, self._args.settings.port
        return Endpoint(
            service="qdrant",
            engine=ENGINE,
            version=VERSION,
            runtime=runtime.name,
            host="127.0.0.1",
            port=port,
            handle=runtime.handle("qdrant"),
            options={"urls": f"http://127.0.0.1:{port}", "storage": runtime.layout("qdrant").data_dir},
            logins={"operator": Login("", API_KEY_SECRET), "application": Login("", API_KEY_SECRET)},
            capabilities=runtime.capabilities,
        )


def service_spec(settings: QdrantSettings, secrets: Mapping[str, str], layout: Layout) -> ServiceSpec:
    """The service as a runtime sees it."""
    key_file = f"{layout.config_dir}/api_key"
    config = {"host": layout.listen, "port": settings.port, "storage": layout.data_dir, "api_key_file": key_file}
    return ServiceSpec(
        service="qdrant",
        version=VERSION,
        command=("python", "-m", "ragops.services.qdrant.edge", f"{layout.config_dir}/edge.json"),
        files=(
            ConfigFile("edge.json", json.dumps(config, indent=2) + "\n"),
            ConfigFile("api_key", secrets[API_KEY_SECRET] + "\n", secret=True),
        ),
        ports={"qdrant": settings.port},
        # Not /readyz: one collection that cannot be opened must not keep the others, and a restore, from running.
        health=HttpCheck(settings.port, "/healthz"),
        stop_grace=30.0,
        start_timeout=120.0,
    )
