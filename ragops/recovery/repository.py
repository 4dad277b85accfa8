"""Where recovery points lie: `<folder>/<environment>/<id>/`, each whole or not there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import ragops
from ragops.adapters.files import SECRET_MODE, explain_os_error, sync_dir, write_atomic
from ragops.errors import IntegrityError, MissingError, RagopsError, UsageError
from ragops.recovery.manifest import FILE_NAME, FORMAT, Kind, Manifest, ManifestPart, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ragops.services.contract import Part

_PARTIAL = ".partial-"
_FOLDER_MODE = 0o700
_BLOCK = 1 << 20
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")


@dataclass(frozen=True)
class RecoveryPoint:
    """A recovery point that is in place."""

    folder: Path
    manifest: Manifest

    @property
    def id(self) -> str:
        """Its name."""
        return self.manifest.id

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.manifest.parts)

    def extra_files(self) -> tuple[str, ...]:
        """Files in its folder that its manifest does not name; nothing ever reads them."""
        known = {part.path for part in self.manifest.parts} | {FILE_NAME}
        found = (path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if not path.is_dir())
        return tuple(sorted(path for path in found if path not in known))

    def check(self, services: Sequence[str] | None = None) -> None:
        """Compare size and SHA-256 of every part (of `services`, None: all) with the manifest.

        Raises IntegrityError (recovery_point_damaged) with every fault found.
        """
        parts = [part for part in self.manifest.parts if services is None or part.service in services]
        faults = [fault for part in parts if (fault := self._fault(part))]
        if faults:
            what = f"recovery point {self.id} is damaged:" + "".join(f"\n  {fault}" for fault in faults)
            raise IntegrityError("recovery_point_damaged", what, "use another one: `ragops backup list`")

    def _fault(self, part: ManifestPart) -> str:
        path = self.folder / part.path
        try:
            size = path.stat().st_size
            if size != part.size:
                return f"{part.path} has {size} bytes, {part.size} were written"
            return "" if _sha256(path) == part.sha256 else f"{part.path} has changed: its SHA-256 is another"
        except FileNotFoundError:
            return f"{part.path} is missing"
        except OSError as error:
            return f"{part.path} cannot be read: {error.strerror}"


@dataclass(frozen=True)
class Listing:
    """The recovery points, newest first, and what else lies there that cannot be read as one."""

    points: tuple[RecoveryPoint, ...]
    unreadable: tuple[RagopsError, ...]


class Draft:
    """A recovery point that is being written; nobody sees it until `publish`."""

    def __init__(self, home: Path, environment: str) -> None:
        self.created = datetime.now(tz=UTC)
        self.id = f"{self.created:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self.folder = home / f"{_PARTIAL}{self.id}"
        self._environment = environment
        self._started = time.monotonic()
        self._parts: list[ManifestPart] = []

    def folder_of(self, service: str) -> Path:
        """The folder that takes the parts of `service`, made where it is missing."""
        folder = self.folder / service
        folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        return folder

    def add(self, service: str, parts: Sequence[Part]) -> None:
        """Take the finished files of `service` in: private, durable, their size and checksum noted."""
        for part in parts:
            path = self.folder / service / part.name
            path.chmod(SECRET_MODE)
            self._parts.append(
                ManifestPart(
                    service=service,
                    name=part.name,
                    size=path.stat().st_size,
                    sha256=_sha256(path, sync=True),
                    counts=dict(part.counts),
                    instant=part.instant,
                    versions=dict(part.versions),
                )
            )
        sync_dir(self.folder / service)

    def publish(self, platform: str, runtime: str, kind: Kind) -> RecoveryPoint:
        """Write the manifest, then put everything in place with one rename."""
        manifest = Manifest(
            format=FORMAT,
            id=self.id,
            kind=kind,
            created=self.created,
            platform=platform,
            environment=self._environment,
            runtime=runtime,
            ragops=ragops.__version__,
            duration=round(time.monotonic() - self._started, 3),
            parts=tuple(self._parts),
        )
        write_atomic(self.folder / FILE_NAME, manifest.model_dump_json(indent=2) + "\n", SECRET_MODE)
        final = self.folder.with_name(self.id)
        self.folder.rename(final)
        sync_dir(final.parent)
        return RecoveryPoint(final, manifest)


class Repository:
    """The recovery points of one environment below `folder`."""

    def __init__(self, folder: Path, environment: str) -> None:
        self.folder = folder / environment
        self._environment = environment

    def list(self) -> Listing:
        """All recovery points; reads the manifests only. Raises RagopsError where the folder cannot be read."""
        points: list[RecoveryPoint] = []
        unreadable: list[RagopsError] = []
        for folder in self._folders():
            try:
                points.append(_read(folder))
            except RagopsError as error:
                unreadable.append(error)
        points.sort(key=lambda point: (point.manifest.created, point.id), reverse=True)
        return Listing(tuple(points), tuple(unreadable))

    def latest(self) -> RecoveryPoint | None:
        """The newest one that was asked for: what a restore saved on its way does not count."""
        return next((point for point in self.list().points if point.manifest.kind is Kind.BACKUP), None)

    def get(self, reference: str) -> RecoveryPoint:
        """The recovery point called `reference`: an id, the start of exactly one id, or `latest`.

        Raises UsageError (no_recovery_point, ambiguous_recovery_point) and what reading it raises.
        """
        if reference == "latest":
            if (newest := self.latest()) is None:
                raise MissingError(
                    "no_recovery_point", f"there is no recovery point in {self.folder} yet", "run `ragops backup run`"
                )
            return newest
        found = [folder for folder in self._folders() if reference and folder.name.startswith(reference)]
        if len(found) == 1:
            return _read(found[0])
        hint = "see `ragops backup list`"
        if found:
            names = ", ".join(folder.name for folder in found)
            raise UsageError("ambiguous_recovery_point", f"{reference!r} is the start of {names}", hint)
        raise UsageError("no_recovery_point", f"there is no recovery point {reference!r} in {self.folder}", hint)

    @contextlib.contextmanager
    def begin(self) -> Iterator[Draft]:
        """Start a recovery point; what is not published when the block ends is removed.

        The caller holds the backup lock, so that what dead runs left belongs to nobody and is cleared here.
        Raises MissingError (disk_full), RagopsError (not_permitted, file_error).
        """
        draft = Draft(self.folder, self._environment)
        try:
            _make_private(self.folder)
            self._clear_leftovers()
            draft.folder.mkdir(mode=_FOLDER_MODE)
            yield draft
        except OSError as error:
            raise explain_os_error(error, f"write the recovery point in {self.folder}") from error
        finally:
            shutil.rmtree(draft.folder, ignore_errors=True)

    def _clear_leftovers(self) -> None:
        for folder in self.folder.glob(f"{_PARTIAL}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> Sequence[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if _ID.fullmatch(path.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise explain_os_error(error, f"read the repository {self.folder}") from error


def _read(folder: Path) -> RecoveryPoint:
    path = folder / FILE_NAME
    try:
        manifest = parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError as error:
        what = f"{folder} has no {FILE_NAME}"
        raise IntegrityError("manifest_invalid", what, "it is no recovery point: move it away") from error
    except UnicodeDecodeError as error:
        raise IntegrityError("manifest_invalid", f"{path} is not UTF-8", "use another recovery point") from error
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    if manifest.id != folder.name:
        what = f"{folder} says that it is {manifest.id}"
        raise IntegrityError("manifest_invalid", what, "give it its own name back")
    return RecoveryPoint(folder, manifest)


def _make_private(folder: Path) -> None:
    """Create what is missing of the way; a repository holds all data of the platform."""
    for path in [*reversed(folder.parents), folder]:
        if not path.exists():
            path.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    if not os.access(folder, os.W_OK):
        what = f"{folder} cannot be written"
        raise MissingError(
            "repository_read_only", what, "check its owner and mode, or that it is not mounted read-only"
        )


def _sha256(path: Path, *, sync: bool = False) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
        if sync:
            os.fsync(stream.fileno())
    return digest.hexdigest()
