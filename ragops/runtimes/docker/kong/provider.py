"""The Pulumi dynamic provider that keeps Kong's hot configuration applied."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import Resource
from pydantic import TypeAdapter

from ragops.adapters.docker.client import DockerHost
from ragops.adapters.pulumi.provider import DigestProvider
from ragops.runtimes.docker.containers import files as docker_files
from ragops.runtimes.docker.kong import admin, apply
from ragops.runtimes.docker.kong.apply import KongPlace
from ragops.services.gateway.kong_configuration import DOCUMENT, KongConfiguration

if TYPE_CHECKING:
    from collections.abc import Mapping


_RENDERED = ("files", "live", "image", "environment", "ports", "smoke")  # what a plan need not show
_CONFIGURATION = TypeAdapter(KongConfiguration)
_PLACE = TypeAdapter(KongPlace)


@dataclass(frozen=True)
class _Wanted:
    place: KongPlace
    configuration: KongConfiguration


class KongConfigProvider(DigestProvider[_Wanted]):
    """The hot configuration of one Kong."""

    place = "place"

    def parse(self, props: Mapping[str, Any]) -> _Wanted:
        """Return the place and the configuration of these properties."""
        return _Wanted(_PLACE.validate_python(props["place"]), from_props(props))

    def located(self, props: Mapping[str, Any]) -> Any:
        """Return the volume."""
        return props.get("place", {}).get("volume")

    def identify(self, wanted: _Wanted) -> str:
        """Return the volume."""
        return f"gateway-config@{wanted.place.volume}"

    def expected(self, wanted: _Wanted) -> Mapping[str, Any]:
        """Return the digest of the whole configuration."""
        return {"digest": wanted.configuration.digest()}

    def apply(self, wanted: _Wanted) -> Mapping[str, Any]:
        """Apply it hot, or leave everything as it was; smoke-tested if Kong runs."""
        apply.apply(DockerHost(), wanted.place, wanted.configuration)
        stored = apply.digest(wanted.configuration.document)
        return {"place": asdict(wanted.place), "stored": stored, "live": wanted.configuration.live}

    def observe(self, outputs: Mapping[str, Any]) -> str:
        """Return whether the volume and Kong itself have the configuration that was applied."""
        return _state(outputs)

    def remove(self, outputs: Mapping[str, Any]) -> None:
        """Remove the volume, which can be made again at any time."""
        docker_files.remove(DockerHost(), outputs["place"]["volume"])


def _state(outputs: Mapping[str, Any]) -> str:
    docker, place = DockerHost(), _PLACE.validate_python(outputs["place"])
    if docker.image(place.image) is None:
        return "not to be seen, its image is gone"
    document = apply.stored(docker, place)
    if not document:
        return "gone"
    if apply.digest(document) != outputs["stored"]:
        return f"running with {DOCUMENT} changed by hand"
    found = docker.container(place.container)
    if found is None or not found.state.running:
        return KongConfigProvider.fine  # Kong starts with it; the container has a resource of its own
    has_it = admin.has(docker, place.container, document)
    return KongConfigProvider.fine if has_it else "running with another configuration"


def to_props(configuration: KongConfiguration, place: KongPlace) -> dict[str, Any]:
    """Return the JSON values that `from_props` reads; what a plan need not show is under `rendered`."""
    values = _CONFIGURATION.dump_python(configuration, mode="json")
    rendered = {name: values.pop(name) for name in _RENDERED}
    return {**values, "place": asdict(place), "rendered": rendered}


def from_props(props: Mapping[str, Any]) -> KongConfiguration:
    """Return the configuration of `to_props`'s values, numbers as Pulumi returns them (floats) included."""
    return _CONFIGURATION.validate_python({**props, **props["rendered"]})


class KongConfig(Resource, module="ragops", name="GatewayConfig"):
    """What a running Kong takes over without a restart; the key of its certificate is sealed in the state."""

    state: pulumi.Output[str]

    def __init__(
        self, name: str, configuration: KongConfiguration, place: KongPlace, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        props = to_props(configuration, place)
        sealed = {**props, "document": pulumi.Output.secret(props["document"])}
        made = {"state": None, "digest": None, "stored": None, "live": None}
        super().__init__(KongConfigProvider(), name, {**sealed, **made}, opts)
