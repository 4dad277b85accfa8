"""Holds the platform read-only for one true instant over all its stores: `ragops backup run --quiesce`."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.api.read_only import CHANNEL, LOOK_SECONDS
from ragops.services.redis import quiesce as redis_quiet
from ragops.services.timescaledb import quiesce as database_quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ragops.services.contract import Endpoint

# Every worker of the API has looked by then, and what it was writing just before is written.
_SEEN_SECONDS = 2 * LOOK_SECONDS


class PausedWrites:
    """The platform while writes wait; `instant` is in UTC, and from it until `release` nothing changes."""

    def __init__(self, holds: ExitStack, notice: Callable[[str], None]) -> None:
        self.instant = datetime.now(tz=UTC)
        self._holds: ExitStack | None = holds
        self._notice = notice

    def release(self) -> None:
        """Let writes resume; only the first call does anything. Raises UnhealthyError (quiesce_lost)."""
        holds, self._holds = self._holds, None
        if holds is not None:
            holds.close()
            seconds = (datetime.now(tz=UTC) - self.instant).total_seconds()
            self._notice(f"writes resumed after {seconds:.1f} s")


@contextmanager
def pause_writes(
    endpoints: Mapping[str, Endpoint],
    notice: Callable[[str], None],
    *,
    patience: float = database_quiet.PATIENCE,
    pause: float = redis_quiet.PAUSE_SECONDS,
) -> Iterator[PausedWrites]:
    """Let writes wait in every store from `Quiet.instant` to `Quiet.release`, at the latest the end of the block.

    First the API stops writing by itself and keeps answering, then the stores hold off every other writer: PostgreSQL
    before Redis, because a transaction that writes to Redis before it commits could otherwise never end. Qdrant has no
    lock of its own: what writes there is `ragops ingest`, kept out by the ingest lock, which the caller holds. Services
    that are not in `endpoints` are left out. `patience` and `pause` are seconds, see `held` of both services.

    Raises LockedError (quiesce_blocked) if a transaction does not end, UnhealthyError (quiesce_lost) at the release
    if a hold was lost: then what was copied is not of one instant. Whatever fails, nothing stays held.
    """
    with ExitStack() as holds:
        if "api" in endpoints and "redis" in endpoints:
            holds.enter_context(redis_quiet.announce_read_only(endpoints["redis"], CHANNEL))
            time.sleep(_SEEN_SECONDS)
        if "timescaledb" in endpoints:
            notice("waiting until transactions that write have ended")
            holds.enter_context(database_quiet.pause_writes(endpoints["timescaledb"], patience))
        if "redis" in endpoints:
            holds.enter_context(redis_quiet.pause_writes(endpoints["redis"], pause))
        quiet = PausedWrites(holds, notice)
        yield quiet
        quiet.release()
