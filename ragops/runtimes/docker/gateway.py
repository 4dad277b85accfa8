"""The gateway of the docker runtime: Kong, its container and the volume that it starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.runtimes.contract import RESOURCE
from ragops.runtimes.docker.kong import apply
from ragops.runtimes.docker.kong.apply import KongPlace
from ragops.services.gateway.kong import redact
from ragops.services.gateway.kong_configuration import DOCUMENT, kong_configuration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.adapters.docker.client import DockerHost
    from ragops.runtimes.docker.names import DockerNames
    from ragops.services.gateway.configuration import GatewayInputs
    from ragops.services.spec import Layout

_KEYS_OF_THE_API = "api-hot"
_GATEWAY = "gateway"


def kong_place(names: DockerNames, image_id: str) -> KongPlace:
    """Return the place of an environment's Kong, made from the image with this id."""
    labels = names.labels(_GATEWAY, _GATEWAY)
    return KongPlace(names.container(_GATEWAY), names.hot_volume(_GATEWAY), image_id, labels)


class KongAdapter:
    """`GatewayAdapter` of the Kong at `place`; the API has a copy of the keys of its own, which follows with them."""

    resources: tuple[str, ...] = (RESOURCE, _KEYS_OF_THE_API)

    def __init__(self, docker: DockerHost, place: KongPlace, layout: Layout) -> None:
        self._docker = docker
        self._place = place
        self._layout = layout

    def files(self, inputs: GatewayInputs) -> Mapping[str, str]:
        """Return the declarative configuration without private keys."""
        return kong_configuration(inputs, self._layout).files

    def current(self) -> Mapping[str, str]:
        """Return what Kong would start with, and works by unless its Admin API was used by hand."""
        document = apply.stored(self._docker, self._place)
        return {DOCUMENT: redact(document)} if document else {}

    def validate(self, inputs: GatewayInputs) -> None:
        """Validate it by `kong config parse` in a container of the same image."""
        apply.validate(self._docker, self._place, kong_configuration(inputs, self._layout))

    def needs_restart(self, inputs: GatewayInputs) -> bool:
        """Whether the container runs with another image, environment or port; one that does not run is left out."""
        wanted = kong_configuration(inputs, self._layout)
        return not apply.can_be_asked(self._docker, self._place, wanted)
