"""Verify a recovery point, and record what its engines proved or failed with for `ragops health`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ragops.adapters.progress import ignore_progress
from ragops.errors import IntegrityError
from ragops.operations.backup.verify import verify
from ragops.operations.observe import restore_proof

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ragops.adapters.progress import Progress
    from ragops.operations.backup.verify import VerifyResult
    from ragops.operations.session import Session


def verify_point(
    session: Session,
    reference: str,
    *,
    deep: bool,
    budget: float = 0.0,
    repository: str | None = None,
    identity: Path | None = None,
    on_progress: Callable[[Progress], None] = ignore_progress,
) -> VerifyResult:
    """Verify one recovery point; a `deep` one is recorded, with at most `budget` seconds for each service (0: any).

    Raises IntegrityError if it is damaged or does not restore, and what finding and opening it raise.
    """
    started = time.monotonic()
    platform, target = session.platform() if deep else None, session.vault(identity)
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
