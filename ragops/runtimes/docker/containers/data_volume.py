"""The data of a service in its volume: set aside, replaced and brought back by renames inside the volume.

They lie in the folder `current`. Next to it: `current.new-STAMP`, new data being put in; `current.ready`, whole ones
that wait for the old to step aside (found without `current`, a restore was killed there: the next start of the service
takes them); `current.LABEL-STAMP`, what was set aside. A short-lived container of the same image makes the renames.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.adapters.docker.client import ArchiveEntry, DockerHost
from ragops.errors import MissingError, RagopsError, UsageError
from ragops.runtimes.docker.containers.files import folders_above
from ragops.runtimes.docker.names import DATA_FOLDER, temporary
from ragops.services.control import DataFile
from ragops.services.kept_data import Kept, is_aside, since

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ragops.adapters.docker.client import User
    from ragops.adapters.docker.values import Container, Mount, Volume

_ROOT = "/volume"
_LIMIT = 3600.0  # to make gigabytes durable on a slow disk
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600
_SYNC = "save() { sync -f . 2>/dev/null || sync; }; cd /volume; set -eu"
_SWAP = f"""
{_SYNC}; fresh=$1; aside=$2
for left in {DATA_FOLDER}.new-*; do [ "$left" = "$fresh" ] || rm -rf "$left"; done
rm -rf {DATA_FOLDER}.ready
save
mv "$fresh" {DATA_FOLDER}.ready
moved=
if [ -e {DATA_FOLDER} ]; then mv {DATA_FOLDER} "$aside"; moved=1; fi
mv {DATA_FOLDER}.ready {DATA_FOLDER} || {{ [ -z "$moved" ] || mv "$aside" {DATA_FOLDER}; exit 1; }}
save
"""
_LIST = f"cd $1/{DATA_FOLDER} 2>/dev/null || exit 0; find . -type f -exec stat -c '%s %Y %n' {{}} +"
_ASIDES = f"cd $1 2>/dev/null || exit 0; du -s -k {DATA_FOLDER}.* 2>/dev/null || true"
_FREE = "df -P -k $1"
_REMOVE = f"""
{_SYNC}; rm -rf -- "$1"
save
"""
_BACK = f"""
{_SYNC}; aside=$1; failed=$2
[ -e "$aside" ] || exit 0
if [ -e {DATA_FOLDER} ]; then mv {DATA_FOLDER} "$failed"; fi
mv "$aside" {DATA_FOLDER}
save
"""


@dataclass(frozen=True)
class DataVolume:
    """The data of the stopped `container`."""

    host: DockerHost
    container: Container

    def replace(self, files: Mapping[str, Path], label: str) -> str:
        """Put copies of `files` in place of the data; returns where those went, as VOLUME:FOLDER. Raises RagopsError.

        Killed half-way, the old data are in place, or the new ones whole and ready.
        """
        fresh, aside = f"{DATA_FOLDER}.new-{_stamp()}", f"{DATA_FOLDER}.{label}-{_stamp()}"
        with self._mover(_SWAP, fresh, aside) as name:
            owner = self.host.user(name, self.container.user)
            self.host.put_archive(name, _ROOT, _entries(fresh, files, owner))
            self._run(name, "replace the data")
        return f"{self.volume.source}:{aside}"

    def files(self) -> dict[str, DataFile]:
        """Return every file of the data by its path. Raises RagopsError (data_unreadable)."""
        rows = (line.split(" ", 2) for line in self._look(_LIST, inside=False).splitlines())
        return {name.removeprefix("./"): DataFile(int(size), float(when)) for size, when, name in rows}

    def bring_back(self, aside: str) -> None:
        """Put what was set aside in place again; what is there now keeps a name of its own. Raises RagopsError."""
        folder = aside.rpartition(":")[2]
        if folder:
            with self._mover(_BACK, folder, f"{DATA_FOLDER}.failed-restore-{_stamp()}") as name:
                self._run(name, f"put {aside} back in place")

    def list_kept(self) -> tuple[Kept, ...]:
        """Return what was set aside, by VOLUME:FOLDER. Raises RagopsError (data_unreadable)."""
        rows = [line.split(None, 1) for line in self._look(_ASIDES, inside=self.container.state.running).splitlines()]
        found = {row[1].strip(): int(row[0]) << 10 for row in rows if len(row) == 2 and row[0].isdecimal()}
        return tuple(
            Kept("folder", f"{self.volume.source}:{name}", since(name), size)
            for name, size in sorted(found.items())
            if is_aside(name, DATA_FOLDER)
        )

    def remove_aside(self, aside: str) -> None:
        """Remove one of them for good. Raises RagopsError."""
        volume, _, folder = aside.rpartition(":")
        if volume != self.volume.source or not is_aside(folder, DATA_FOLDER):
            raise UsageError(
                "not_kept", f"cannot remove {aside}: no restore set it aside", "see `ragops restore clean`"
            )
        with self._mover(_REMOVE, folder) as name:
            self._run(name, f"remove {aside}")

    def free_bytes(self) -> int | None:
        """Return the free space of its file system, None if it is unknown. Raises RagopsError (data_unreadable)."""
        fields = self._look(_FREE, inside=self.container.state.running).strip().rpartition("\n")[2].split()
        return int(fields[3]) << 10 if len(fields) > 3 else None

    @property
    def volume(self) -> Mount:
        """The volume of the data. Raises RagopsError (not_provisioned)."""
        return data_mount(self.container)

    def _look(self, script: str, *, inside: bool) -> str:
        """Return the output of a script with the volume's folder as `$1`: of the container itself if `inside`."""
        argv = ["sh", "-c", script, "look"]
        if inside:
            done = self.host.exec(self.container.name, [*argv, self.volume.target])
        else:
            done = self.host.run_once(
                f"{self.container.name}.look", self.container.image_id, [*argv, _ROOT],
                mounts={self.volume.source: _ROOT}, capabilities=["DAC_OVERRIDE"],
                labels=temporary(self.container.labels, "look"),
            )  # fmt: skip
        if done.code != 0:
            raise RagopsError("data_unreadable", f"cannot read the volume {self.volume.source}: {done.error_text}")
        return done.text

    @contextmanager
    def _mover(self, script: str, *arguments: str) -> Iterator[str]:
        name, argv = f"{self.container.name}.move", ("sh", "-c", script, "move", *arguments)
        with self.host.created(
            name, self.container.image_id, argv, mounts={self.volume.source: _ROOT},
            capabilities=["DAC_OVERRIDE", "FOWNER"],  # the volume's own folder may be sticky
            labels=temporary(self.container.labels, "move"),
        ):  # fmt: skip
            yield name

    def _run(self, name: str, doing: str) -> None:
        done = self.host.run_created(name, limit=_LIMIT)
        if done.code != 0:
            what = f"cannot {doing} in the volume {self.volume.source} (exit {done.code}): {done.error_text}"
            raise RagopsError("data_not_replaced", what, "nothing of it was removed; see its folders there")


def data_mount(container: Container) -> Mount:
    """Return the one volume that the container may write. Raises MissingError (not_provisioned)."""
    for mount in container.mounts:
        if mount.kind == "volume" and not mount.read_only:
            return mount
    raise MissingError(
        "not_provisioned", f"cannot find the data of {container.name}: it has no volume for them", "run `ragops up`"
    )


def _entries(fresh: str, files: Mapping[str, Path], owner: User) -> Iterator[ArchiveEntry]:
    yield ArchiveEntry(fresh, _PRIVATE_FOLDER, owner.uid, owner.gid)
    for folder in sorted({parent for name in files for parent in folders_above(name)}):
        yield ArchiveEntry(f"{fresh}/{folder}", _PRIVATE_FOLDER, owner.uid, owner.gid)
    for name, source in files.items():
        yield ArchiveEntry(f"{fresh}/{name}", _PRIVATE_FILE, owner.uid, owner.gid, source)


def _stamp() -> str:
    return f"{datetime.now(tz=UTC):%Y%m%dT%H%M%S%f}"


def read_file(host: DockerHost, volume: Volume, image: str, name: str) -> str | None:
    """Return the text of the file `name` of the data in a volume, None without it; `image` is the id of an image here.

    Raises RagopsError.
    """
    helper = f"{volume.name}.look"
    with host.created(helper, image, mounts={volume.name: _ROOT}, labels=temporary(volume.labels, "look")):
        content = host.read_file(helper, f"{_ROOT}/{DATA_FOLDER}/{name}")
    return None if content is None else content.decode(errors="replace")
