"""Proves recovery points where they lie: by signature and checksums, and by their engines."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress, ignore_progress, make_byte_counter
from ragops.errors import IntegrityError, InterruptedRunError, RagopsError
from ragops.operations.backup.staging import engine_part, staged_parts
from ragops.operations.observe import restore_proof
from ragops.recovery.manifest import PLATFORM
from ragops.services import SERVICES, backup_engine
from ragops.services.contract import Extent, Proof

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ragops.adapters.progress import OnProgress
    from ragops.operations.session import Platform, Session
    from ragops.recovery.point import RecoveryPoint
    from ragops.recovery.repositories import Repositories
    from ragops.services.contract import Endpoint, Part
    from ragops.services.control import Control


@dataclass(frozen=True)
class ServiceProof:
    """What was proven of all parts of a service."""

    service: str
    proof: Proof


@dataclass(frozen=True)
class VerifyResult:
    """A recovery point that held; `deep`: the engines were asked, `proofs` are what they proved and what they did not.

    `extra_files` are what it should not have.
    """

    point: RecoveryPoint
    repository: str
    deep: bool
    extra_files: tuple[str, ...]
    proofs: tuple[ServiceProof, ...] = ()

    @property
    def restores(self) -> bool:
        """Whether every engine has restored all of it."""
        return bool(self.proofs) and all(one.proof.extent is Extent.RESTORED for one in self.proofs)


def verify(
    platform: Platform | None,
    repos: Repositories,
    reference: str = "latest",
    *,
    repository: str | None = None,
    budget: float = 0.0,
    on_progress: OnProgress = ignore_progress,
) -> VerifyResult:
    """Signature, sizes and checksums; if there is a `platform`, its engines restore every part too.

    They do so away from the live data, within `budget` seconds for each service (0: no limit).

    Raises IntegrityError, MissingError (identity_missing) if engines are to read what is encrypted.
    """
    chosen, point = repos.find(reference, repository)
    point.require_trust(repos.trusted_keys())
    try:
        _check(point, on_progress)
    except IntegrityError as error:
        repos.add_copy_hint(error, chosen, point.id)
        raise
    proofs: list[ServiceProof] = []
    if platform:
        names = [service.name for service in SERVICES if point.manifest.parts_of(service.name)]
        for name in names:
            platform.endpoint(name)  # before hours of reading
        proofs = [ServiceProof(name, _prove(platform, repos, point, name, budget, on_progress)) for name in names]
        for part in point.manifest.parts_of(PLATFORM):
            with staged_parts(repos, point, [part], on_progress):
                pass  # both of its checksums hold
    return VerifyResult(point, chosen.name, platform is not None, point.find_extra_files(), tuple(proofs))


def verify_point(
    session: Session,
    reference: str,
    *,
    deep: bool,
    budget: float = 0.0,
    repository: str | None = None,
    identity: Path | None = None,
    on_progress: OnProgress = ignore_progress,
) -> VerifyResult:
    """Verify one recovery point; a `deep` one is recorded, with at most `budget` seconds for each service (0: any).

    Raises IntegrityError if it is damaged or does not restore, and what finding and opening it raise.
    """
    started = time.monotonic()
    platform, target = session.platform() if deep else None, session.repositories(identity)
    try:
        result = verify(platform, target, reference, repository=repository, budget=budget, on_progress=on_progress)
    except IntegrityError as error:
        if deep:
            chosen, found = target.find(reference, repository)
            restore_proof.note_verified(session, found, chosen.name, (), time.monotonic() - started, error)
        raise
    if deep:
        restore_proof.note_verified(session, result.point, result.repository, result.proofs, time.monotonic() - started)
    return result


def _check(point: RecoveryPoint, on_progress: OnProgress, name: str = "") -> None:
    name = name or point.id
    point.verify(on_bytes=make_byte_counter(on_progress, name, "checksums", point.size))
    on_progress(Progress(name, "signature, sizes and checksums hold", final=True, done=point.size, total=point.size))


def _prove(
    platform: Platform, repos: Repositories, point: RecoveryPoint, name: str, budget: float, on_progress: OnProgress
) -> Proof:
    """Have the engine of `name` restore its parts away from the live data, as far as it can."""
    parts = point.manifest.parts_of(name)
    with staged_parts(repos, point, parts, on_progress) as folder:
        on_progress(Progress(name, "the engine restores it, away from the live data"))
        control, whole = platform.control(name), [engine_part(part) for part in parts]
        proof = _proof_of(platform.endpoint(name), control, folder / name, whole, budget)
        on_progress(Progress(name, f"{proof.extent.value}: {proof.detail}", final=True))
    return proof


def _proof_of(endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part], budget: float) -> Proof:
    engine = backup_engine(endpoint.service)
    if hasattr(engine, "prove"):
        return engine.prove(endpoint, control, folder, parts, budget)
    for part in parts:  # an engine that has no place to restore to
        engine.verify(folder, part, control)
    return Proof(Extent.READ, "the engine has read every part, and restored nothing")


@dataclass(frozen=True)
class Checked:
    """One recovery point of one repository; `error` states what is wrong with it, None: whole."""

    point: str
    repository: str
    error: RagopsError | None = None


def verify_all(
    repos: Repositories, repository: str | None = None, *, on_progress: OnProgress = ignore_progress
) -> tuple[Checked, ...]:
    """Signature, sizes and checksums of every recovery point, in one repository or in all.

    Raises RagopsError if a repository cannot be reached, never for what is found.
    """
    chosen = (repos.repository(repository),) if repository else repos.members
    found: list[Checked] = []
    trusted = repos.trusted_keys()
    for place in chosen:
        listing = place.list()
        found += [Checked(ident, place.name, error) for ident, error in listing.unreadable.items()]
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
