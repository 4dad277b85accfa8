"""Recovery points of an environment in a store: `<environment>/<id>/`, each visible once its manifest is written.

Parts are written first, the manifest last; what has no manifest is no recovery point, and is cleared by the next one
that is taken. A recovery point is removed the other way round.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.errors import IntegrityError, MissingError, RagopsError, StoreRefusedError
from ragops.hints import OTHER_POINT
from ragops.recovery import lock
from ragops.recovery.cache import ManifestCache, TolerantReader
from ragops.recovery.manifest import FILE_NAME, SignedManifest, parse, sign_manifest
from ragops.recovery.point import Draft, Listing, RecoveryPoint, match_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ragops.adapters.storage import FileEntry, Store
    from ragops.recovery.lock import LockHandle
    from ragops.recovery.manifest import Manifest
    from ragops.recovery.signing import SigningKey

_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
_KEPT = "kept"


@dataclass(frozen=True)
class LockRequest:
    """A request for the lock: the command, the longest wait in seconds, and the receiver of takeover notices."""

    command: str
    wait: float = 0.0
    notice: Callable[[str], None] = lambda _text: None


class Repository:
    """The recovery points of one environment in `store`; `cache` keeps manifests of a store that is far away.

    `append_only` states that nothing is to be removed from here; a store that refuses to need not be declared so.
    """

    def __init__(self, store: Store, environment: str, cache: Path | None = None, *, append_only: bool = False) -> None:
        self.store = store
        self.append_only = append_only
        self.environment = environment
        self._cache = ManifestCache(cache, f"{store.name} {environment}")

    @property
    def name(self) -> str:
        """Return its URL or folder without credentials."""
        return self.store.name

    # --- reading -----------------------------------------------------------------------------------------------------

    def list(self) -> Listing:
        """Return all recovery points by their manifests and the sizes of their files. Raises RagopsError."""
        files: dict[str, dict[str, FileEntry]] = {}
        kept = set()
        for entry in self.store.list_entries(self.environment):
            _, _, inner = entry.path.partition("/")
            first, _, rest = inner.partition("/")
            if _ID.fullmatch(first):
                files.setdefault(first, {})[rest] = entry
            elif first == _KEPT:
                kept.add(rest)
        found = {ident: its for ident, its in files.items() if FILE_NAME in its}
        reader = TolerantReader(self.store)
        texts = self._cache.read(reader, {its[FILE_NAME].path: its[FILE_NAME].etag for its in found.values()})
        sizes = {ident: {name: entry.size for name, entry in its.items()} for ident, its in found.items()}
        there = {ident: texts.get(self._manifest_path(ident), b"") for ident in found}
        shut = {ident: self._unreadable_folder(ident) for ident, its in files.items() if "" in its}
        return self._build_listing(there, kept, sizes, {**shut, **reader.failures_by_folder})

    def list_cached(self) -> Listing:
        """Return the listing from the cache: of a remote store only new manifests are read, and no file sizes.

        A thousand recovery points are twelve thousand files, and one question for a thousand folders.
        """
        if not self.store.is_remote:
            return self.list()
        idents = [name for name in self.store.list_folders(self.environment) if _ID.fullmatch(name)]
        kept = {entry.path.rpartition("/")[2] for entry in self.store.list_entries(f"{self.environment}/{_KEPT}")}
        reader = TolerantReader(self.store)
        texts = self._cache.read(reader, dict.fromkeys(self._manifest_path(ident) for ident in idents))
        there = {ident: texts[path] for ident in idents if (path := self._manifest_path(ident)) in texts}
        return self._build_listing(there, kept, {}, reader.failures_by_folder)

    def _unreadable_folder(self, ident: str) -> RagopsError:
        what = f"cannot read {self.name}/{self.environment}/{ident}: its folder does not permit it"
        return RagopsError("not_permitted", what, "check the owner and mode of that folder")

    def _manifest_path(self, ident: str) -> str:
        return f"{self.environment}/{ident}/{FILE_NAME}"

    def _build_listing(
        self,
        texts: Mapping[str, bytes],
        kept: set[str],
        sizes: Mapping[str, Mapping[str, int]],
        failures: Mapping[str, RagopsError],
    ) -> Listing:
        points: list[RecoveryPoint] = []
        unreadable = dict(failures)
        for ident, content in texts.items():
            if ident in failures:
                continue
            try:
                signed = self._check_location(ident, parse(content, f"{self.name}: {self._manifest_path(ident)}"))
            except RagopsError as error:
                unreadable[ident] = error
                continue
            points.append(RecoveryPoint(self.store, signed, sizes.get(ident), ident in kept))
        points.sort(key=lambda point: (point.manifest.sequence, point.manifest.created, point.id), reverse=True)
        return Listing(tuple(points), unreadable)

    def _check_location(self, ident: str, signed: SignedManifest) -> SignedManifest:
        """Raise IntegrityError if a signed manifest lies in another one's place: it proves nothing about this place."""
        there, stated = (self.environment, ident), (signed.manifest.environment, signed.manifest.id)
        if there != stated:
            what = f"{self.name}: {'/'.join(there)} holds the manifest of {'/'.join(stated)}"
            raise IntegrityError("manifest_misplaced", what, OTHER_POINT)
        return signed

    def open_point(self, signed: SignedManifest) -> RecoveryPoint:
        """Return the recovery point of a manifest that was just written here."""
        return RecoveryPoint(self.store, signed, self._files(f"{self.environment}/{signed.manifest.id}"))

    def _files(self, home: str) -> dict[str, int]:
        """Return the sizes of the files in a recovery point's folder."""
        return {entry.path.removeprefix(f"{home}/"): entry.size for entry in self.store.list_entries(home)}

    def get(self, reference: str) -> RecoveryPoint:
        """Return the recovery point called `reference`: an id, the start of exactly one id, or `latest`.

        Raises UsageError (no_recovery_point, ambiguous_recovery_point), IntegrityError if it cannot be read.
        """
        listing = self.list()
        if reference == "latest":
            return self._latest(listing)
        points = {point.id: point for point in listing.points}
        ident = match_id(reference, {*points, *listing.unreadable}, self.name)
        if ident in points:
            return points[ident]
        raise listing.unreadable[ident]

    def _latest(self, listing: Listing) -> RecoveryPoint:
        """Return the newest good point. Raises if a newer one cannot be read: an older state is no surprise to give."""
        newest = listing.latest()
        for ident, error in listing.newer_unreadable().items():
            if newest is None:
                raise error
            what = f"{error.message}; the newest one that can be read is {newest.id}"
            hint = (
                f"`ragops backup copy {ident}` if a copy has it whole; else name {newest.id} instead of `latest`"
                f" if it will do, and `ragops backup delete {ident}` removes the other"
            )
            raise RagopsError(error.code, what, hint, exit_code=error.exit_code) from error
        if newest is None:
            what, hint = f"there is no recovery point in {self.name} yet", "run `ragops backup run`"
            if marked := listing.newer_unhealthy():
                what = f"{self.name} has no good recovery point: the platform was down when {marked[0].id} was taken"
                hint = "name one by its id to take it all the same: `ragops backup list`"
            raise MissingError("no_recovery_point", what, hint)
        return newest

    # --- writing -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self, locker: LockRequest) -> Iterator[LockHandle]:
        """Hold the repository against other machines too. Raises LockedError (repository_locked)."""
        with lock.hold_lock(self.store, self.environment, locker.command, locker.wait, locker.notice) as held:
            yield held

    @contextlib.contextmanager
    def create_draft(self, locker: LockRequest, after: int = 0) -> Iterator[Draft]:
        """Start a recovery point, its number higher than `after`. Raises RagopsError.

        What is not published when the block ends is removed.
        """
        with self.lock(locker) as held:
            self.clear_leftovers()
            sequence = max(self.list_cached().next_sequence, after + 1)
            draft = Draft(self.store, self.environment, sequence, held)
            try:
                yield draft
            finally:
                if not draft.published:
                    with contextlib.suppress(RagopsError):  # report the first failure; the next run clears
                        self._remove(draft.path)

    def clear_leftovers(self) -> None:
        """Remove what killed runs left, if that is allowed.

        The caller holds the lock, so that no other run writes it.
        """
        with contextlib.suppress(RagopsError):  # what may write a file may not always look for half ones
            self.store.clear_leftovers()
        homes: dict[str, set[str]] = {}
        for entry in self.store.list_entries(self.environment):
            ident, _, name = entry.path.partition("/")[2].partition("/")
            if _ID.fullmatch(ident):
                homes.setdefault(ident, set()).add(name)
        for ident in [ident for ident, names in homes.items() if not names & {FILE_NAME, ""}]:
            try:
                self._remove(f"{self.environment}/{ident}")
            except StoreRefusedError:
                return  # prune clears such a repository
            except RagopsError:
                continue  # one that cannot be removed must not prevent the next backup

    def import_point(self, point: RecoveryPoint, locker: LockRequest, on_bytes: Callable[[int], None]) -> RecoveryPoint:
        """Copy a recovery point of another repository here, each file checked on its way and once more in its place.

        Raises IntegrityError, RagopsError; nothing of it is seen then. StoreRefusedError if something else lies in
        its place, and must not be replaced.
        """
        home = f"{self.environment}/{point.id}"
        with self.lock(locker) as held:
            self.clear_leftovers()
            if FILE_NAME in self._files(home):  # damaged, or the caller would not ask
                with contextlib.suppress(StoreRefusedError):  # then what is missing is added
                    self._remove(home)
            try:
                self._copy_files(home, point, held, on_bytes)
            except BaseException:
                with contextlib.suppress(RagopsError):
                    self._remove(home)
                raise
        return self.get(point.id)

    def _copy_files(self, home: str, point: RecoveryPoint, held: LockHandle, on_bytes: Callable[[int], None]) -> None:
        """Copy the missing files: an interrupted run leaves its copies if nothing can be removed."""
        there = self._files(home)
        for part in point.manifest.parts:
            path = f"{home}/{part.stored_path}"
            if part.stored_path not in there or not point.has_copy(part, self.store, path):
                point.copy_part(part, self.store, path, on_bytes)
        held.check()
        manifest, content = f"{home}/{FILE_NAME}", point.read_manifest()
        if FILE_NAME not in there or self.store.read_all([manifest]).get(manifest) != content:
            with self.store.open_write(manifest) as stream:
                stream.write(content)

    def set_pinned(self, point: RecoveryPoint, *, keep: bool) -> None:
        """Pin it so that `prune` keeps it, or unpin it. The caller holds the lock."""
        mark = f"{self.environment}/{_KEPT}/{point.id}"
        marked = any(entry.path == mark for entry in self.store.list_entries(f"{self.environment}/{_KEPT}"))
        if marked and not keep:
            self.store.remove([mark])
        elif keep and not marked:
            with self.store.open_write(mark) as stream:
                stream.write(b"\n")

    def remove(self, points: Sequence[RecoveryPoint]) -> None:
        """Remove recovery points for good. The caller holds the lock."""
        for point in points:
            self.remove_id(point.id)

    def list_ids(self) -> tuple[str, ...]:
        """Return the ids of all recovery points, also of unreadable and incomplete ones."""
        return tuple(name for name in self.store.list_folders(self.environment) if _ID.fullmatch(name))

    def measure(self, ident: str) -> int:
        """Return the bytes of its files."""
        return sum(self._files(f"{self.environment}/{ident}").values())

    def remove_id(self, ident: str) -> None:
        """Remove the point with this id, readable or not. The caller holds the lock."""
        self._remove(f"{self.environment}/{ident}")
        self.store.remove([f"{self.environment}/{_KEPT}/{ident}"])

    def _remove(self, home: str) -> None:
        """Remove its files, the manifest first: without it, it is no recovery point."""
        names = [entry.path for entry in self.store.list_entries(home)]
        self.store.remove(sorted(names, key=lambda name: not name.endswith(f"/{FILE_NAME}")))


def publish(draft: Draft, manifest: Manifest, key: SigningKey) -> SignedManifest:
    """Sign the manifest and make the recovery point visible."""
    content = sign_manifest(manifest, key)
    draft.publish(content)
    return parse(content, draft.path)
