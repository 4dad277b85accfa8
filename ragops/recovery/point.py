"""Stored recovery points: checks, signer and parts of one, and the list of a repository."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.adapters.files import create_private
from ragops.errors import IntegrityError, RagopsError, StoreMissingError, UsageError
from ragops.hints import OTHER_POINT
from ragops.recovery.codec import checksum, decode
from ragops.recovery.manifest import FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import BinaryIO

    from ragops.adapters.storage import Store
    from ragops.recovery.lock import LockHandle
    from ragops.recovery.manifest import Manifest, ManifestPart, SignedManifest

_LIST = "see `ragops backup list`"


def _nothing(_size: int) -> None: ...


def match_id(reference: str, idents: Iterable[str], where: str) -> str:
    """Return the one id that starts with `reference`; `where` names the place in errors.

    Raises UsageError (no_recovery_point, ambiguous_recovery_point).
    """
    found = sorted({ident for ident in idents if reference and ident.startswith(reference)})
    if not found:
        raise UsageError("no_recovery_point", f"cannot find recovery point {reference!r}: none is in {where}", _LIST)
    if len(found) > 1:
        what = f"cannot choose a recovery point: {reference!r} is the start of {', '.join(found)}"
        raise UsageError("ambiguous_recovery_point", what, _LIST)
    return found[0]


@dataclass(frozen=True)
class RecoveryPoint:
    """A recovery point in `store`; `kept` states that prune leaves it.

    `sizes` are those of its files there, None if they were not listed.
    """

    store: Store
    signed: SignedManifest
    sizes: Mapping[str, int] | None = field(repr=False)
    is_pinned: bool = False

    @property
    def manifest(self) -> Manifest:
        """Return its manifest."""
        return self.signed.manifest

    @property
    def id(self) -> str:
        """Return its id."""
        return self.manifest.id

    @property
    def path(self) -> str:
        """Return its folder in the store."""
        return f"{self.manifest.environment}/{self.id}"

    @property
    def location(self) -> str:
        """Return its location as text."""
        return f"{self.store.name.rstrip('/')}/{self.path}"

    @property
    def size(self) -> int:
        """Return the bytes that it takes."""
        return sum(part.stored.size for part in self.manifest.parts)

    @property
    def plain_size(self) -> int:
        """Return the bytes of its parts as their engines wrote them."""
        return sum(part.size for part in self.manifest.parts)

    def find_faults(self) -> tuple[str, ...]:
        """Return the faults visible without reading: files that are missing or have another size."""
        return tuple(fault for part in self.manifest.parts if (fault := self._size_fault(part)))

    def find_extra_files(self) -> tuple[str, ...]:
        """Return the files in its folder that its manifest does not name; nothing reads them."""
        known = {part.stored_path for part in self.manifest.parts} | {FILE_NAME}
        return tuple(sorted(name for name in self.sizes or () if name not in known))

    def is_good_for(self, trusted: Collection[str]) -> bool:
        """Return whether it is a good backup, whole as far as a look shows, and signed by one of the keys."""
        return self.manifest.is_good and self.is_whole_for(trusted)

    def is_whole_for(self, trusted: Collection[str]) -> bool:
        """Return whether it is whole as far as a look shows, of services that were up, and signed by a key."""
        is_of_live_platform = not self.manifest.unhealthy
        return is_of_live_platform and not self.find_faults() and self.signed.signature.key in trusted

    def require_trust(self, trusted: Collection[str]) -> None:
        """Raise IntegrityError (signer_unknown) if it was signed by none of the `trusted` keys."""
        if self.signed.signature.key not in trusted:
            what = f"recovery point {self.id} was signed by {self.signed.signature.key}, which is not trusted here"
            hint = "if that key is yours, add it to `backup.verify_keys` in ragops.yaml; otherwise use none of them"
            raise IntegrityError("signer_unknown", what, hint)

    def verify(self, services: Sequence[str] | None = None, on_bytes: Callable[[int], None] = _nothing) -> None:
        """Compare size and SHA-256 of every file (of `services`, None: all) with the manifest; needs no identity.

        Raises IntegrityError (recovery_point_damaged) with every fault found, RagopsError if the store fails.
        """
        parts = [part for part in self.manifest.parts if services is None or part.service in services]
        self._refuse([fault for part in parts if (fault := self._fault(part, on_bytes))])

    def verify_sizes(self, parts: Sequence[ManifestPart]) -> None:
        """Compare the sizes of `parts` without reading the files. Raises IntegrityError."""
        self._refuse([fault for part in parts if (fault := self._size_fault(part))])

    def _refuse(self, faults: Sequence[str]) -> None:
        if faults:
            what = f"recovery point {self.id} is damaged:" + "".join(f"\n  {fault}" for fault in faults)
            raise IntegrityError("recovery_point_damaged", what, OTHER_POINT)

    def fetch(
        self, part: ManifestPart, target: Path, identities: Sequence[object], on_bytes: Callable[[int], None] = _nothing
    ) -> None:
        """Write the part as its engine wrote it to the new file `target`, ours alone. Raises as `decode`, OSError."""
        with self.store.open_read(f"{self.path}/{part.stored_path}") as stored, create_private(target) as plain:
            decode(stored, plain, part, identities, on_bytes)

    def copy_part(self, part: ManifestPart, store: Store, path: str, on_bytes: Callable[[int], None]) -> None:
        """Copy a stored file to `path` of another store and read it back there. Raises IntegrityError."""
        with self.store.open_read(f"{self.path}/{part.stored_path}") as source, store.open_write(path) as target:
            self._compare(part, *checksum(source, on_bytes, target))
        with store.open_read(path) as copy:
            self._compare(part, *checksum(copy))

    def has_copy(self, part: ManifestPart, store: Store, path: str) -> bool:
        """Return whether the very file lies at `path` of another store, read there."""
        try:
            with store.open_read(path) as copy:
                return checksum(copy) == (part.stored.size, part.stored.sha256)
        except StoreMissingError:
            return False

    def read_manifest(self) -> bytes:
        """Return the stored file of its manifest."""
        return self.store.read_all([f"{self.path}/{FILE_NAME}"])[f"{self.path}/{FILE_NAME}"]

    def _compare(self, part: ManifestPart, size: int, sha256: str) -> None:
        if (size, sha256) != (part.stored.size, part.stored.sha256):
            what = f"cannot copy {self.id}: {part.stored_path} was copied with another checksum than in its manifest"
            raise IntegrityError("recovery_point_damaged", what, "find the damaged copy with `ragops backup verify`")

    def _size_fault(self, part: ManifestPart) -> str:
        if self.sizes is None:
            return ""
        size = self.sizes.get(part.stored_path)
        if size is None:
            return f"{part.stored_path} is missing"
        if size != part.stored.size:
            return f"{part.stored_path} has {size} bytes, {part.stored.size} were written"
        return ""

    def _fault(self, part: ManifestPart, on_bytes: Callable[[int], None]) -> str:
        if fault := self._size_fault(part):
            return fault
        try:
            with self.store.open_read(f"{self.path}/{part.stored_path}") as stored:
                size, found = checksum(stored, on_bytes)
        except StoreMissingError:
            return f"{part.stored_path} is missing"
        except RagopsError as error:
            if error.code not in ("file_error", "not_permitted"):
                raise
            return f"cannot read {part.stored_path}: {error.message}"
        if size != part.stored.size:
            return f"{part.stored_path} has {size} bytes, {part.stored.size} were written"
        return "" if found == part.stored.sha256 else f"{part.stored_path} has changed: its SHA-256 is another"


@dataclass(frozen=True)
class Listing:
    """The recovery points, newest first, and by id why others cannot be read."""

    points: tuple[RecoveryPoint, ...]
    unreadable: Mapping[str, RagopsError]

    @property
    def next_sequence(self) -> int:
        """The sequence number of the next recovery point."""
        return max((point.manifest.sequence for point in self.points), default=0) + 1

    def find_by_prefix(self, reference: str) -> list[RecoveryPoint]:
        """Return the points whose ids start with `reference`."""
        return [point for point in self.points if reference and point.id.startswith(reference)]

    def latest(self) -> RecoveryPoint | None:
        """Return the newest backup of a platform that was not down; safety points do not count."""
        return next((point for point in self.points if point.manifest.is_good), None)

    def count(self) -> dict[str, float]:
        """Return for metrics how many `points` are good, and of the `newest` when it was taken and its `faults`.

        The instant is in seconds of the epoch, absent without one. Newer ones that cannot be read are faults, too.
        """
        newest = self.latest()
        found = {"points": float(sum(point.manifest.is_good for point in self.points))}
        if newest:
            found["newest"] = newest.manifest.created.timestamp()
        faults = newest.find_faults() if newest else ()
        return found | {"faults": float(len(faults) + len(self.newer_unreadable()))}

    def newer_unreadable(self) -> dict[str, RagopsError]:
        """Return why points newer than `latest`, by the times in their ids, cannot be read."""
        newest = self.latest()
        return {id_: error for id_, error in self.unreadable.items() if newest is None or id_ > newest.id}

    def newer_unhealthy(self) -> tuple[RecoveryPoint, ...]:
        """Return the points newer than `latest` that were taken of a platform that was down."""
        newest = self.latest()
        return tuple(
            point
            for point in self.points
            if point.manifest.unhealthy and (newest is None or point.manifest.sequence > newest.manifest.sequence)
        )


class Draft:
    """A recovery point that is being written; it is invisible until `publish`."""

    def __init__(self, store: Store, environment: str, sequence: int, held: LockHandle) -> None:
        self.created = datetime.now(tz=UTC)
        self.id = f"{self.created:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self.sequence = sequence
        self.path = f"{environment}/{self.id}"
        self.published = False
        self._store = store
        self._held = held
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return the seconds since its start."""
        return round(time.monotonic() - self._started, 3)

    def open_write(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a stream to the file `path` of the recovery point."""
        return self._store.open_write(f"{self.path}/{path}")

    def open_read(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open the written file `path` of the recovery point."""
        return self._store.open_read(f"{self.path}/{path}")

    def publish(self, content: bytes) -> None:
        """Put the manifest's file in place, while the lock is still ours."""
        self._held.check()
        with self._store.open_write(f"{self.path}/{FILE_NAME}") as stream:
            stream.write(content)
        self.published = True
