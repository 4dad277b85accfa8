"""The Pulumi dynamic provider that keeps rendered files in a volume as they are wanted.

Creating and updating are the same act, `docker_files.write`, so an interrupted one is simply repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from ragops.adapters.docker.client import DockerHost
from ragops.errors import RagopsError, encode_error
from ragops.runtimes.docker.containers import files as docker_files
from ragops.runtimes.docker.containers.files import AS_WRITTEN, GONE, from_props

if TYPE_CHECKING:
    import pulumi


class VolumeFilesProvider(ResourceProvider):
    """Create, read, update and delete of the files of one volume."""

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make the volume and write its files."""
        return CreateResult(props["volume"], _write(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Put the new files in place of the old ones, all at once."""
        return UpdateResult(_write(news))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """A difference is another digest, or files that are not as they were written."""
        try:
            digest = from_props(news).digest()
        except (KeyError, TypeError, AttributeError, ValueError):
            digest = ""  # a refresh compares a state that another version of ragops wrote
        changed = olds.get("digest") != digest or olds.get("state") != AS_WRITTEN
        moved = olds.get("volume") != news.get("volume")
        return DiffResult(changes=changed, replaces=["volume"] if moved else [], stables=[])

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Look into the volume: the state never claims what is not so."""
        try:
            return ReadResult(id_, {**props, "state": _state(props)})
        except RagopsError as error:
            raise RuntimeError(encode_error(error)) from error

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        """Remove the volume: it can be made anew at any time."""
        try:
            docker_files.remove(DockerHost(), props["volume"])
        except RagopsError as error:
            raise RuntimeError(encode_error(error)) from error


def _write(props: dict[str, Any]) -> dict[str, Any]:
    wanted = from_props(props)
    try:
        docker_files.write(DockerHost(), wanted)
    except RagopsError as error:
        raise RuntimeError(encode_error(error)) from error
    return {
        "volume": wanted.volume,
        "image": wanted.image,
        "digest": wanted.digest(),
        "digests": wanted.digests(),
        "state": AS_WRITTEN,
    }


def _state(props: dict[str, Any]) -> str:
    host = DockerHost()
    if host.image(props["image"]) is None:
        return "not to be seen, its image is gone"
    changed = docker_files.changed_files(host, props["volume"], props["image"], props["digests"])
    if changed is None:
        return GONE
    return f"{', '.join(changed)} changed by hand" if changed else AS_WRITTEN


class VolumeFiles(Resource, module="ragops", name="VolumeFiles"):
    """The rendered files of one container in a volume of their own.

    `props` are those of a FileSet; `secret_files` are to be marked with `pulumi.Output.secret` by the caller.
    """

    volume: pulumi.Output[str]
    digest: pulumi.Output[str]
    state: pulumi.Output[str]

    def __init__(self, name: str, props: dict[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(VolumeFilesProvider(), name, {**props, "state": None, "digest": None, "digests": None}, opts)
