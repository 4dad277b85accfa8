"""Takes recovery points, copies and verifies them. The caller holds the backup lock and writes the audit line."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import ragops
from ragops.adapters.progress import Progress, ignore
from ragops.errors import IntegrityError, MissingError, RagopsError
from ragops.operations import copies
from ragops.operations.project_parts import add_project
from ragops.operations.taking import Taking
from ragops.operations.unpacking import unpacked
from ragops.recovery.manifest import FORMAT, PLATFORM, Kind, Manifest
from ragops.recovery.repository import Locker, publish
from ragops.services import SERVICES, backup_engine
from ragops.services.contract import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from ragops.operations.copies import Copied
    from ragops.operations.platform import Platform
    from ragops.recovery.manifest import ManifestPart
    from ragops.recovery.point import RecoveryPoint
    from ragops.recovery.repository import Draft, Listing
    from ragops.recovery.vault import Vault

_DEFAULT_JOBS = 2


@dataclass(frozen=True)
class BackupRequest:
    """What to take: of `services` (None: all), `jobs` parts at once, marked `keep` for prune to leave it."""

    kind: Kind = Kind.BACKUP
    services: tuple[str, ...] | None = None
    jobs: int = _DEFAULT_JOBS
    keep: bool = False


@dataclass(frozen=True)
class BackupResult:
    """A recovery point that was taken, and its copies, each of which was read back too."""

    point: RecoveryPoint
    copies: tuple[Copied, ...] = ()

    def require_copies(self) -> None:
        """Raise RagopsError (copy_failed) where one did not happen: a copy that was asked for is no extra."""
        failed = [copy for copy in self.copies if copy.error]
        if failed and failed[0].error:
            rows = "".join(f"\n  {copy.repository}: {copy.error.message}" for copy in failed if copy.error)
            what = (
                f"recovery point {self.point.id} is whole, but lacks {len(failed)} of {len(self.copies)} copies:{rows}"
            )
            hint = f"{failed[0].error.hint}; then `ragops backup copy {self.point.id}`".removeprefix("; then ")
            raise RagopsError("copy_failed", what, hint)


@dataclass(frozen=True)
class VerifyResult:
    """A recovery point that held; `deep` says whether the engines read it, `extra_files` what it should not have."""

    point: RecoveryPoint
    repository: str
    deep: bool
    extra_files: tuple[str, ...]


class Hold(Protocol):
    """Writers that are kept waiting while instants are fixed."""

    @property
    def instant(self) -> datetime | None:
        """Since when no write was taken; None where nobody is held."""

    def release(self) -> None:
        """Let them go."""


class _Free:
    """Nobody is held."""

    instant: datetime | None = None

    def release(self) -> None:
        """Nothing."""


def run(
    platform: Platform,
    vault: Vault,
    request: BackupRequest = BackupRequest(),
    *,
    locker: Locker = Locker("ragops backup run"),  # noqa: B008  frozen
    held: AbstractContextManager[Hold] | None = None,
    on_progress: Callable[[Progress], None] = ignore,
) -> BackupResult:
    """Take a recovery point; when it returns, the engines have read back every part, and so have we where it lies.

    `held` keeps writers waiting until all instants are fixed. Raises RagopsError; nothing that looks like a recovery
    point is left then.
    """
    wanted = request.services
    names = [item.name for item in platform.services() if wanted is None or item.name in wanted]
    if not names:
        raise MissingError("not_provisioned", "there is no service to back up", "run `ragops up` first")
    key = vault.signing_key()
    with vault.primary.begin(locker, vault.last_sequence()) as draft, vault.staged() as folder:
        taking = Taking(draft, vault, folder, request.jobs, on_progress)
        with held or contextlib.nullcontext(_Free()) as hold:
            taking.take(platform, names, hold.release)
        add_project(taking, platform, sealed=bool(vault.recipients))
        manifest = _manifest(draft, platform, vault, request.kind, taking.in_order(), hold.instant)
        signed = publish(draft, manifest, key)
    if vault.history:
        vault.history.remember(manifest.sequence)
    point = vault.primary.found(signed)
    copied = copies.copy(vault, point, locker=locker, on_progress=on_progress)
    if request.keep:
        copies.keep(vault, point, keep=True, locker=locker)
    return BackupResult(point, copied)


def _manifest(
    draft: Draft,
    platform: Platform,
    vault: Vault,
    kind: Kind,
    parts: tuple[ManifestPart, ...],
    quiesced: datetime | None,
) -> Manifest:
    return Manifest(
        format=FORMAT,
        id=draft.id,
        sequence=draft.sequence,
        kind=kind,
        created=draft.created,
        platform=platform.name,
        environment=vault.primary.environment,
        runtime=platform.runtime,
        ragops=ragops.__version__,
        duration=draft.seconds,
        quiesced=quiesced,
        recipients=vault.recipients,
        images=dict(platform.images),
        parts=parts,
    )


# --- looking ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """A recovery point in a list; `whole` says for each repository whether it has it whole (None: not at all)."""

    point: RecoveryPoint
    whole: Mapping[str, bool | None]
    signer_known: bool


@dataclass(frozen=True)
class Overview:
    """All recovery points of all repositories, newest first, what cannot be read, and repositories out of reach."""

    lines: tuple[Line, ...]
    unreadable: tuple[RagopsError, ...]
    unreachable: tuple[tuple[str, RagopsError], ...]


def overview(vault: Vault, repository: str | None = None) -> Overview:
    """What there is, in one repository or in all. Raises RagopsError where none can be reached."""
    chosen = (vault.repository(repository),) if repository else vault.repositories
    listings: dict[str, Listing] = {}
    unreachable: list[tuple[str, RagopsError]] = []
    for item in chosen:
        try:
            listings[item.name] = item.glance()
        except RagopsError as error:
            unreachable.append((item.name, error))
    if not listings:
        raise unreachable[0][1]
    found: dict[str, dict[str, RecoveryPoint]] = {}
    for name, listing in listings.items():
        for point in listing.points:
            found.setdefault(point.id, {})[name] = point
    trusted = vault.trusted()
    lines = [_line(places, list(listings), trusted) for places in found.values()]
    lines.sort(key=lambda line: (line.point.manifest.sequence, line.point.manifest.created), reverse=True)
    unreadable = tuple(error for listing in listings.values() for error in listing.unreadable)
    return Overview(tuple(lines), unreadable, tuple(unreachable))


def _line(places: Mapping[str, RecoveryPoint], names: Sequence[str], trusted: frozenset[str]) -> Line:
    whole = {name: not places[name].faults() if name in places else None for name in names}
    point = next(iter(places.values()))
    return Line(point, whole, point.signed.signature.key in trusted)


def verify(
    platform: Platform | None,
    vault: Vault,
    reference: str = "latest",
    *,
    repository: str | None = None,
    on_progress: Callable[[Progress], None] = ignore,
) -> VerifyResult:
    """Signature, sizes and checksums; where there is a `platform`, its engines read every part too.

    Raises IntegrityError, MissingError (identity_missing) where engines are to read what is encrypted.
    """
    chosen, point = vault.find(reference, repository)
    point.require_trust(vault.trusted())
    try:
        _check(point, on_progress)
    except IntegrityError as error:
        vault.cure(error, chosen, point.id)
        raise
    if platform:
        names = [service.name for service in SERVICES if point.manifest.of(service.name)]
        for name in names:
            platform.endpoint(name)  # before hours of reading
        for name in (*names, PLATFORM):
            _read(platform, vault, point, name, on_progress)
    return VerifyResult(point, chosen.name, platform is not None, point.extra_files())


def _check(point: RecoveryPoint, on_progress: Callable[[Progress], None], name: str = "") -> None:
    done, name = 0, name or point.id

    def on_bytes(size: int) -> None:
        nonlocal done
        done += size
        on_progress(Progress(name, "checksums", done=done, total=point.size))

    point.check(on_bytes=on_bytes)
    on_progress(Progress(name, "signature, sizes and checksums hold", final=True, done=point.size, total=point.size))


def _read(
    platform: Platform, vault: Vault, point: RecoveryPoint, name: str, on_progress: Callable[[Progress], None]
) -> None:
    """Let the engine of `name` read its parts, one after the other, as a restore would find them."""
    for part in point.manifest.of(name):
        with _one(vault, point, part, on_progress) as folder:
            if name != PLATFORM:
                on_progress(Progress(part.path, "the engine reads it"))
                backup_engine(name).verify(folder, engine_part(part), platform.control(name))
                on_progress(Progress(part.path, "read by its engine", final=True))


@dataclass(frozen=True)
class Checked:
    """One recovery point of one repository; `error` says what is wrong with it, None: whole."""

    point: str
    repository: str
    error: RagopsError | None = None


def verify_all(
    vault: Vault, repository: str | None = None, *, on_progress: Callable[[Progress], None] = ignore
) -> tuple[Checked, ...]:
    """Signature, sizes and checksums of every recovery point, in one repository or in all.

    Raises RagopsError where a repository cannot be reached, never for what is found.
    """
    chosen = (vault.repository(repository),) if repository else vault.repositories
    found: list[Checked] = []
    trusted = vault.trusted()
    for place in chosen:
        listing = place.list()
        found += [Checked("?", place.name, error) for error in listing.unreadable]
        for point in listing.points:
            try:
                point.require_trust(trusted)
                _check(point, on_progress, f"{place.name}: {point.id}")
            except IntegrityError as error:
                found.append(Checked(point.id, place.name, error))
            else:
                found.append(Checked(point.id, place.name))
    return tuple(found)


@contextlib.contextmanager
def _one(
    vault: Vault, point: RecoveryPoint, part: ManifestPart, on_progress: Callable[[Progress], None]
) -> Iterator[Path]:
    with unpacked(vault, point, [part], on_progress) as folder:
        yield folder / part.service


def engine_part(part: ManifestPart) -> Part:
    """The part as its engine knows it."""
    return Part(part.name, part.instant, part.counts, part.versions)
