"""Proves recovery points where they lie: by signature and checksums, and by their engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress, counting, ignore
from ragops.errors import IntegrityError, InterruptedRunError, RagopsError
from ragops.operations.unpacking import engine_part, unpacked
from ragops.recovery.manifest import PLATFORM
from ragops.services import SERVICES, backup_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.operations.platform import Platform
    from ragops.recovery.point import RecoveryPoint
    from ragops.recovery.vault import Vault


@dataclass(frozen=True)
class VerifyResult:
    """A recovery point that held; `deep` says whether the engines read it, `extra_files` what it should not have."""

    point: RecoveryPoint
    repository: str
    deep: bool
    extra_files: tuple[str, ...]


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
    name = name or point.id
    point.check(on_bytes=counting(on_progress, name, "checksums", point.size))
    on_progress(Progress(name, "signature, sizes and checksums hold", final=True, done=point.size, total=point.size))


def _read(
    platform: Platform, vault: Vault, point: RecoveryPoint, name: str, on_progress: Callable[[Progress], None]
) -> None:
    """Let the engine of `name` read its parts, one after the other, as a restore would find them."""
    for part in point.manifest.of(name):
        with unpacked(vault, point, [part], on_progress) as folder:
            if name != PLATFORM:
                on_progress(Progress(part.path, "the engine reads it"))
                backup_engine(name).verify(folder / name, engine_part(part), platform.control(name))
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
        unread = zip(listing.unreadable_ids, listing.unreadable, strict=True)
        found += [Checked(ident, place.name, error) for ident, error in unread]
        for point in listing.points:
            try:
                point.require_trust(trusted)
                _check(point, on_progress, f"{place.name}: {point.id}")
            except RagopsError as error:
                if isinstance(error, InterruptedRunError) or error.code == "repository_unreachable":
                    raise
                found.append(Checked(point.id, place.name, error))
            else:
                found.append(Checked(point.id, place.name))
    return tuple(found)
