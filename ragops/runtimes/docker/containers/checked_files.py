"""Files that a program of an image judges, in a container of its own, before a service reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.docker.archive import ArchiveEntry
from ragops.runtimes.contract import Judgement
from ragops.runtimes.docker.containers.files import folders_above
from ragops.runtimes.docker.names import temporary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ragops.adapters.docker.client import DockerHost
    from ragops.runtimes.docker.names import DockerNames
    from ragops.services.spec import ConfigFile

_FOLDER = "ragops-check"
_LIMIT = 60.0


def check_files(
    host: DockerHost, names: DockerNames, image: str, command: Sequence[str], files: Sequence[ConfigFile]
) -> Judgement | None:
    """Return what the program reports, None if the image is not here. Raises RagopsError (docker_failed, …)."""
    if not host.image_id(image):
        return None
    name = f"{names.network}.check"
    argv, labels = (*command, f"/{_FOLDER}/{files[0].name}"), temporary(names.labels(), "check")
    with host.created(name, image, argv, mounts={}, labels=labels):
        host.put_archive(name, "/", _entries(files))
        done = host.run_created(name, limit=_LIMIT)
    return Judgement.from_output(done.code, f"{done.text}\n{done.error_text}", f"/{_FOLDER}")


def _entries(files: Sequence[ConfigFile]) -> Iterator[ArchiveEntry]:
    folders = {folder for file in files for folder in folders_above(file.name)}
    for folder in ("", *sorted(folders)):
        yield ArchiveEntry(f"{_FOLDER}/{folder}".rstrip("/"), 0o700, 0, 0)
    for file in files:
        yield ArchiveEntry(f"{_FOLDER}/{file.name}", 0o600, 0, 0, file.content.encode())
