"""Rendered files in a volume: whole sets, put in place at once.

Files are written through a container that is never started, so that they can belong to the service's own user and
ragops needs no right but that to use Docker. The volume looks like this, and readers see the names at its top:

    .sets/DIGEST/redis.conf     one set of files
    .data -> .sets/DIGEST       the set that counts: changing it is one rename
    redis.conf -> .data/redis.conf
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping  # noqa: TC003  pydantic reads the annotation
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ragops.adapters.docker.client import ArchiveEntry, DockerHost
from ragops.errors import RagopsError
from ragops.runtimes.docker.names import temporary

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterator

    from ragops.adapters.docker.client import User

AS_WRITTEN = "as written"
GONE = "gone"
_ROOT = "/files"
_DATA = ".data"
_SETS = ".sets"
_PUBLIC, _SECRET, _FOLDER = 0o440, 0o400, 0o550
# Arguments: the new set, then all names at the top. `mv -T` replaces a link in one step, `ln -f` does not.
_SWITCH = """
set -eu; cd /files; set_=$1; shift
rm -rf .next; ln -s ".sets/$set_" .next; mv -T .next .data
for name; do
  [ "$(readlink "$name" || :)" = ".data/$name" ] || { rm -rf "$name"; ln -s ".data/$name" "$name"; }
done
for found in *; do
  keep=; for name; do [ "$name" != "$found" ] || keep=1; done
  [ "$keep" ] || rm -rf "$found"
done
cd .sets; for found in *; do [ "$found" = "$set_" ] || rm -rf "$found"; done
sync
"""


@dataclass(frozen=True)
class FileSet:
    """Files of one volume, by their path in it; they belong to `owner` (a name or uid in the image).

    `files` are 0440, `secret_files` 0400 and never shown. `image` is an id of an image that is here.
    """

    volume: str
    image: str
    owner: str
    files: Mapping[str, str]
    secret_files: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def content_digest(self) -> str:
        """Return the SHA-256 of names and contents: what the label of the container that reads them holds."""
        values = {**self.files, **self.secret_files}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def digest(self) -> str:
        """Return the SHA-256 of all that makes the set what it is."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of each file, by name."""
        return {name: _sha256(text.encode()) for name, text in {**self.files, **self.secret_files}.items()}

    @property
    def tops(self) -> list[str]:
        """The names at the top of the volume."""
        return sorted({name.partition("/")[0] for name in (*self.files, *self.secret_files)})


def write(host: DockerHost, wanted: FileSet) -> None:
    """Make the volume hold exactly these files; repeatable, whatever an interrupted run left.

    A reader sees the old set or the new one, never a mixture. Raises RagopsError (files_not_written).
    """
    host.create_volume(wanted.volume, wanted.labels)
    name, chosen = f"{wanted.volume}.files", wanted.content_digest()[:16]
    argv = ("sh", "-c", _SWITCH, "files", chosen, *wanted.tops)
    with host.created(
        name,
        wanted.image,
        argv,
        mounts={wanted.volume: _ROOT},
        capabilities=["DAC_OVERRIDE"],
        labels=temporary(wanted.labels, "files"),
    ):
        fresh = not _found(host, name)
        owner = host.user(name, wanted.owner)
        host.put_archive(name, _ROOT, [*_set(wanted, chosen, owner), *(_links(wanted, chosen) if fresh else ())])
        if not fresh:
            _switch(host, name, wanted.volume)


def changed_files(host: DockerHost, volume: str, image: str, digests: Mapping[str, str]) -> list[str] | None:
    """Return names of files that are not as they were written, missing ones included; None where the volume is gone.

    `image` is an id of any image that is here. Raises RagopsError.
    """
    there = host.volume(volume)
    if there is None:
        return None
    with host.created(f"{volume}.look", image, mounts={volume: _ROOT}, labels=temporary(there.labels, "look")):
        found = _found(host, f"{volume}.look")
    chosen = found.get(_DATA, "")
    return sorted(
        name
        for name, digest in digests.items()
        if found.get(name.partition("/")[0]) != f"{_DATA}/{name.partition('/')[0]}"
        or found.get(f"{chosen}/{name}") != digest
    )


def remove(host: DockerHost, volume: str) -> None:
    """Remove the volume, unless a container has it."""
    try:
        host.remove_volume(volume)
    except RagopsError as error:
        if error.code != "volume_in_use":
            raise


def _set(wanted: FileSet, chosen: str, owner: User) -> Iterator[ArchiveEntry]:
    base = f"{_SETS}/{chosen}"
    yield ArchiveEntry(_SETS, 0o755, 0, 0)
    yield ArchiveEntry(base, _FOLDER, owner.uid, owner.gid)
    for folder in sorted({folder for name in (*wanted.files, *wanted.secret_files) for folder in folders_above(name)}):
        yield ArchiveEntry(f"{base}/{folder}", _FOLDER, owner.uid, owner.gid)
    for mode, files in ((_PUBLIC, wanted.files), (_SECRET, wanted.secret_files)):
        for name, text in files.items():
            yield ArchiveEntry(f"{base}/{name}", mode, owner.uid, owner.gid, text.encode())


def folders_above(name: str) -> list[str]:
    """Return the folders on the way to the relative path `name`, the innermost first."""
    return [str(folder) for folder in PurePosixPath(name).parents][:-1]


def _links(wanted: FileSet, chosen: str) -> Iterator[ArchiveEntry]:
    yield ArchiveEntry(_DATA, 0o777, 0, 0, link=f"{_SETS}/{chosen}")
    for name in wanted.tops:
        yield ArchiveEntry(name, 0o777, 0, 0, link=f"{_DATA}/{name}")


def _switch(host: DockerHost, name: str, volume: str) -> None:
    done = host.run_created(name)
    if done.code != 0:
        what = f"cannot write the files of the volume {volume} (exit {done.code}): {done.error_text}"
        raise RagopsError("files_not_written", what, "the old ones are still in place; run `ragops up` again")


def _found(host: DockerHost, name: str) -> dict[str, str]:
    """Return what is in the volume, by path: the SHA-256 of a file, the target of a link."""
    with host.get_archive(name, _ROOT) as archive:
        return dict(_described(archive))


def _described(archive: tarfile.TarFile) -> Iterator[tuple[str, str]]:
    for info in archive:
        path = info.name.partition("/")[2]
        stream = archive.extractfile(info) if info.isreg() else None
        if stream is not None:
            yield path, _sha256(stream.read())
        elif info.issym():
            yield path, info.linkname


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def from_props(props: Mapping[str, Any]) -> FileSet:
    """Return the properties of a `VolumeFiles` as its files."""
    from pydantic import TypeAdapter

    return TypeAdapter(FileSet).validate_python(dict(props))
