"""The Pulumi dynamic provider that keeps Kong's hot configuration applied.

Creating and updating are the same act, `kong_apply.apply`, so an interrupted one is simply repeated.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from ragops.adapters.docker.client import DockerHost
from ragops.errors import RagopsError, encode_error
from ragops.runtimes.contract import RUNNING
from ragops.runtimes.docker.containers import files as docker_files
from ragops.runtimes.docker.kong import admin, apply
from ragops.runtimes.docker.kong.apply import KongPlace
from ragops.services.gateway.configuration import SmokeTest
from ragops.services.gateway.kong_configuration import DOCUMENT, KongConfiguration

if TYPE_CHECKING:
    from collections.abc import Mapping


class KongConfigProvider(ResourceProvider):
    """Create, read, update and delete of one Kong's hot configuration."""

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Validate and write; taken over and smoke-tested where Kong already runs."""
        return CreateResult(f"gateway-config@{props['place']['volume']}", _apply(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Apply hot, or leave everything as it was."""
        return UpdateResult(_apply(news))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """A difference is another text, or a Kong that does not have it as it was applied."""
        try:
            digest = from_props(news).digest()
        except (KeyError, TypeError, AttributeError, ValueError):
            digest = ""  # a refresh compares a state that another version of ragops wrote
        changed = olds.get("digest") != digest or olds.get("state") != RUNNING
        moved = olds.get("place", {}).get("volume") != news.get("place", {}).get("volume")
        return DiffResult(changes=changed, replaces=["place"] if moved else [], stables=[])

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Look at the volume and ask Kong itself: the state never claims what is not so."""
        try:
            return ReadResult(id_, {**props, "state": _state(props)})
        except RagopsError as error:
            raise RuntimeError(encode_error(error)) from error

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        """Remove the volume: it can be made anew at any time."""
        try:
            docker_files.remove(DockerHost(), props["place"]["volume"])
        except RagopsError as error:
            raise RuntimeError(encode_error(error)) from error


def _apply(props: Mapping[str, Any]) -> dict[str, Any]:
    wanted, place = from_props(props), _place(props)
    try:
        apply.apply(DockerHost(), place, wanted)
    except RagopsError as error:
        raise RuntimeError(encode_error(error)) from error
    return {
        "place": asdict(place),
        "digest": wanted.digest(),
        "stored": apply.digest(wanted.document),
        "live": wanted.live,
        "state": RUNNING,
    }


def _state(props: Mapping[str, Any]) -> str:
    docker, place = DockerHost(), _place(props)
    if docker.image(place.image) is None:
        return "not to be seen, its image is gone"
    document = apply.stored(docker, place)
    if not document:
        return "gone"
    if apply.digest(document) != props["stored"]:
        return f"running with {DOCUMENT} changed by hand"
    found = docker.container(place.container)
    if found is None or not found.state.running:
        return RUNNING  # it will start with it; that it does not run is its container's to tell
    return RUNNING if admin.has(docker, place.container, document) else "running with another configuration"


def _place(props: Mapping[str, Any]) -> KongPlace:
    place = props["place"]
    return KongPlace(place["container"], place["volume"], place["image"], dict(place["labels"]))


def to_props(configuration: KongConfiguration, place: KongPlace) -> dict[str, Any]:
    """The JSON values that `from_props` reads; what nobody wants to read in a plan is under `rendered`."""
    rendered = {
        "files": dict(configuration.files),
        "live": configuration.live,
        "image": configuration.image,
        "environment": dict(configuration.environment),
        "ports": {str(inner): port for inner, port in configuration.ports.items()},
        "smoke": [{**asdict(test), "headers": dict(test.headers)} for test in configuration.smoke],
    }
    return {
        "place": asdict(place),
        "policy": dict(configuration.policy),
        "tokens": list(configuration.tokens),
        "certificate": configuration.certificate,
        "rendered": rendered,
        "document": configuration.document,
    }


def from_props(props: Mapping[str, Any]) -> KongConfiguration:
    """Read `to_props`'s values, numbers as Pulumi returns them (floats) included."""
    rendered = props["rendered"]
    return KongConfiguration(
        document=props["document"],
        files=dict(rendered["files"]),
        live=rendered["live"],
        image=rendered["image"],
        environment=dict(rendered["environment"]),
        ports={int(inner): int(port) for inner, port in rendered["ports"].items()},
        smoke=tuple(
            SmokeTest(test["url"], tuple(int(status) for status in test["statuses"]), dict(test["headers"]), test["ca"])
            for test in rendered["smoke"]
        ),
        policy=props["policy"],
        tokens=tuple(props["tokens"]),
        certificate=props.get("certificate", ""),
    )


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
