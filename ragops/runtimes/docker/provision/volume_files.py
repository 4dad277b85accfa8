"""The Pulumi dynamic provider that keeps rendered files in a volume as they are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi.dynamic import Resource

from ragops.adapters.docker.client import DockerHost
from ragops.adapters.pulumi.provider import DigestProvider
from ragops.runtimes.docker.containers import files as docker_files
from ragops.runtimes.docker.containers.files import AS_WRITTEN, GONE, FileSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi


class VolumeFilesProvider(DigestProvider[FileSet]):
    """The files of one volume."""

    model = FileSet
    fine = AS_WRITTEN
    place = "volume"

    def identify(self, wanted: FileSet) -> str:
        """Return the volume."""
        return wanted.volume

    def expected(self, wanted: FileSet) -> Mapping[str, Any]:
        """Return the digest of the whole set."""
        return {"digest": wanted.digest()}

    def apply(self, wanted: FileSet) -> Mapping[str, Any]:
        """Make the volume and put the files in place, all at once."""
        docker_files.write(DockerHost(), wanted)
        return {"volume": wanted.volume, "image": wanted.image, "digests": wanted.digests()}

    def observe(self, outputs: Mapping[str, Any]) -> str:
        """Return whether the volume has the files that were written."""
        host = DockerHost()
        if host.image(outputs["image"]) is None:
            return "not to be seen, its image is gone"
        changed = docker_files.changed_files(host, outputs["volume"], outputs["image"], outputs["digests"])
        if changed is None:
            return GONE
        return f"{', '.join(changed)} changed by hand" if changed else AS_WRITTEN

    def remove(self, outputs: Mapping[str, Any]) -> None:
        """Remove the volume, which can be made again at any time."""
        docker_files.remove(DockerHost(), outputs["volume"])


class VolumeFiles(Resource, module="ragops", name="VolumeFiles"):
    """The rendered files of one container in a volume of their own.

    `props` are those of a FileSet; `secret_files` are to be marked with `pulumi.Output.secret` by the caller.
    """

    volume: pulumi.Output[str]
    digest: pulumi.Output[str]
    state: pulumi.Output[str]

    def __init__(self, name: str, props: dict[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(VolumeFilesProvider(), name, {**props, "state": None, "digest": None, "digests": None}, opts)
