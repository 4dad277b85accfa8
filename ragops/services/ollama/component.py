"""Ollama as a Pulumi component: its server, and the models that it has to have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import Resource

from ragops.adapters.pulumi.provider import DigestProvider
from ragops.errors import RagopsError
from ragops.services.image_references import size_bytes, tag_version
from ragops.services.ollama import ENGINE, IMAGE
from ragops.services.ollama.models import fetch, find_missing
from ragops.services.spec import ExecCheck, ImageSpec, ServiceSpec, local_endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.contract import Declaration, Endpoint
    from ragops.services.ollama.settings import OllamaSettings
    from ragops.services.spec import Layout, Runtime

INNER_PORT = 11434
_HOME = "/var/lib/ollama"


class Ollama(pulumi.ComponentResource):
    """A server with its models; what depends on it starts when they are there. `endpoint` is its address."""

    def __init__(self, declaration: Declaration, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ragops:service:Ollama", "ollama", None, opts)
        settings, runtime = declaration.settings, declaration.runtime
        layout = runtime.layout("ollama", image_spec(settings))
        serving = runtime.run(service_spec(settings, layout), self)
        self.models = Models(
            "ollama-models",
            {"url": f"http://127.0.0.1:{settings.port}", "models": list(settings.models), "state": None},
            pulumi.ResourceOptions(parent=self, depends_on=[serving]),
        )
        self.endpoint = endpoint(settings, runtime, layout)
        self.register_outputs({"endpoint": self.endpoint.to_dict()})


def endpoint(settings: OllamaSettings, runtime: Runtime, layout: Layout) -> Endpoint:
    """How to reach it; option `models` are those that it has to have, by commas."""
    return local_endpoint(
        "ollama",
        runtime,
        layout,
        engine=ENGINE,
        version=tag_version(image_spec(settings).reference),
        port=settings.port,
        inner_port=INNER_PORT,
        options={"models": ",".join(settings.models)},
    )


def image_spec(settings: OllamaSettings) -> ImageSpec:
    """Return the image and its inside: it runs as root and keeps a key of its own next to the models."""
    return ImageSpec(settings.image or IMAGE, mount=_HOME, user="0:0", writable=("/tmp",))  # noqa: S108


def service_spec(settings: OllamaSettings, layout: Layout) -> ServiceSpec:
    """Return the server as a runtime sees it."""
    return ServiceSpec(
        service="ollama",
        version=tag_version(image_spec(settings).reference),
        command=("ollama", "serve"),
        files=(),
        ports={"ollama": INNER_PORT},
        health=ExecCheck(("ollama", "list")),
        environment={
            "HOME": _HOME,
            "OLLAMA_HOST": f"{layout.listen}:{INNER_PORT}",
            "OLLAMA_MODELS": f"{layout.data_dir}/models",
        },
        stop_grace=20.0,
        start_timeout=120.0,
        image=image_spec(settings),
        publish={"ollama": settings.port},
        memory=size_bytes(settings.memory),
    )


@dataclass(frozen=True)
class _Wanted:
    url: str
    models: tuple[str, ...]


class ModelsProvider(DigestProvider[_Wanted]):
    """The models that a server has to have; those that are not asked for any more stay."""

    model = _Wanted
    fine = "present"

    def identify(self, wanted: _Wanted) -> str:
        """Return the server."""
        return f"models@{wanted.url}"

    def expected(self, wanted: _Wanted) -> Mapping[str, Any]:
        """Return the server and the models, which need no digest."""
        return {"url": wanted.url, "models": list(wanted.models)}

    def apply(self, wanted: _Wanted) -> Mapping[str, Any]:
        """Fetch the models that the server lacks."""
        fetch(wanted.url, wanted.models)
        return {}

    def observe(self, outputs: Mapping[str, Any]) -> str:
        """Return the models that are missing; a server that is down leaves the state as it is."""
        try:
            lacking = find_missing(outputs["url"], outputs["models"])
        except RagopsError:
            return str(outputs["state"])
        return f"missing {', '.join(lacking)}" if lacking else self.fine


class Models(Resource, module="ragops", name="Models"):
    """The models of one Ollama server."""

    state: pulumi.Output[str]

    def __init__(self, name: str, props: dict[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(ModelsProvider(), name, props, opts)
