"""The Docker runtime: every instance of a service a container, its data and its files in volumes, one network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_docker as docker
from pulumi.runtime.settings import get_root_resource

from ragops.runtimes.contract import RESOURCE
from ragops.runtimes.docker.gateway import kong_place
from ragops.runtimes.docker.kong.provider import KongConfig
from ragops.runtimes.docker.provision import args as docker_args
from ragops.runtimes.docker.provision.readiness import Ready, Wanted
from ragops.runtimes.docker.provision.volume_files import VolumeFiles
from ragops.services.contract import Capability
from ragops.services.gateway.kong_configuration import image as kong_image
from ragops.services.gateway.kong_configuration import kong_configuration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ragops.runtimes.docker.names import DockerNames
    from ragops.services.gateway.configuration import GatewayInputs
    from ragops.services.spec import ConfigFile, ImageSpec, Layout, ServiceSpec

CAPABILITIES = frozenset({Capability.RESTART, Capability.EXEC, Capability.READ_FILES})


class DockerRuntime:
    """Makes a ServiceSpec volumes, files, a container, and the wait until it serves.

    `image_id` returns the image that a reference means, `expose` the address of this machine that a service's published
    ports listen on if that is not 127.0.0.1, `published` the addresses that a container's ports listen on now.
    """

    name = "docker"
    capabilities = CAPABILITIES

    def __init__(
        self,
        names: DockerNames,
        expose: Mapping[str, str],
        image_id: Callable[[str], str],
        published: Callable[[str], Mapping[int, tuple[str, ...]]] = lambda _name: {},
    ) -> None:
        self._names = names
        self._expose = expose
        self._image_id = image_id
        self._published = published
        self._root: pulumi.Resource | None = None
        self._network: docker.Network | None = None
        self._images: dict[str, docker.RemoteImage] = {}

    def layout(self, instance: str, image: ImageSpec | None = None) -> Layout:
        """Return folders inside the image, every address, and the instance's name on the network."""
        return docker_args.layout(instance, _needed(instance, image))

    def runtime_id(self, instance: str) -> str:
        """Return the container's name."""
        return self._names.container(instance)

    def run(self, spec: ServiceSpec, parent: pulumi.Resource) -> Ready:
        """Declare all that `spec` needs below its component; the result is there once the container serves."""
        image = _needed(spec.name, spec.image)
        image_id = self._image_id(image.reference)
        needs = [
            self._image(_image_name(spec), image_id),
            *self._data(spec, image, parent),
            *self._files(spec, image, image_id, parent),
        ]
        expose = docker_args.addresses(self._expose.get(spec.service, docker_args.LOOPBACK))
        arguments = docker_args.container_args(
            spec, image, self._names, image_id=image_id, network=self._shared_network().id,
            expose=expose, published=self._published(self.runtime_id(spec.name)) if len(expose) > 1 else {},
        )  # fmt: skip
        options = pulumi.ResourceOptions(parent=parent, depends_on=needs, delete_before_replace=True)
        container = docker.Container(spec.name, **arguments, opts=options)
        wanted = Wanted(self.runtime_id(spec.name), spec.start_timeout, spec.stop_grace)
        return Ready(f"{spec.name}-ready", wanted, container.id, pulumi.ResourceOptions(parent=parent))

    def configure(self, inputs: GatewayInputs, parent: pulumi.Resource) -> KongConfig:
        """Declare what keeps Kong's hot configuration applied, as a child of its component."""
        image = kong_image(inputs.settings)
        image_id = self._image_id(image.reference)
        wanted = kong_configuration(inputs, self.layout("gateway", image))
        options = pulumi.ResourceOptions(parent=parent, depends_on=[self._image("gateway", image_id)])
        return KongConfig(RESOURCE, wanted, kong_place(self._names, image_id), options)

    def _data(self, spec: ServiceSpec, image: ImageSpec, parent: pulumi.Resource) -> list[pulumi.Resource]:
        """Declare the volume of its data, which nothing that Pulumi does may remove or replace."""
        if not image.mount:
            return []
        # It has no parent: `down` does not remove a component that a protected resource depends on. Changes of its
        # attributes are ignored: to apply them would replace the volume, and with it the data.
        options = pulumi.ResourceOptions(
            protect=True, retain_on_delete=True, ignore_changes=["labels", "driver", "driverOpts"],
            aliases=[pulumi.Alias(parent=parent)],
        )  # fmt: skip
        return [docker.Volume(f"{spec.name}-data", **docker_args.volume_args(spec, self._names), opts=options)]

    def _files(
        self, spec: ServiceSpec, image: ImageSpec, image_id: str, parent: pulumi.Resource
    ) -> list[pulumi.Resource]:
        """Declare the volumes of its rendered files, and of those that it takes over while it runs."""
        sets: tuple[tuple[str, str, Iterable[ConfigFile]], ...] = (
            ("config", self._names.config_volume(spec.name), spec.files),
            ("hot", self._names.hot_volume(spec.name), spec.hot if image.hot_dir else ()),
        )
        found: list[pulumi.Resource] = []
        for kind, volume, files in sets:
            if files:
                props = docker_args.files_args(
                    spec, image, self._names, image_id=image_id, files=files, volume=volume
                )  # fmt: skip
                props["secret_files"] = pulumi.Output.secret(props["secret_files"])
                options = pulumi.ResourceOptions(parent=parent)
                found.append(VolumeFiles(f"{spec.name}-{kind}", props, options))
        return found

    def _image(self, name: str, image_id: str) -> docker.RemoteImage:
        """Declare the image by its id: here already, and kept when nothing needs it any more."""
        self._begin()
        if image_id not in self._images:
            self._images[image_id] = docker.RemoteImage(f"{name}-image", name=image_id, keep_locally=True)
        return self._images[image_id]

    def _shared_network(self) -> docker.Network:
        self._begin()
        if self._network is None:
            self._network = docker.Network("network", **docker_args.network_args(self._names))
        return self._network

    def _begin(self) -> None:
        """Forget what an earlier run of the program declared: a plan and the `up` after it share one runtime."""
        root = get_root_resource()
        if root is not self._root:
            self._root, self._network, self._images = root, None, {}


def _image_name(spec: ServiceSpec) -> str:
    """Return what the image is of: the service, unless its instances are different programs."""
    return spec.service if spec.name.startswith(spec.service) else spec.name


def _needed(instance: str, image: ImageSpec | None) -> ImageSpec:
    if image is None:
        raise TypeError(f"{instance} has no image")
    return image
