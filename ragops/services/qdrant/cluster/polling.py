"""Waits for servers: as long as there is progress, and little longer than that."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ragops.adapters import cancellation
from ragops.adapters.background import BackgroundTask
from ragops.adapters.progress import Progress, report
from ragops.errors import IntegrityError, RagopsError, UnhealthyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.adapters.qdrant.http import HttpClient

T = TypeVar("T")
STUCK_SECONDS = 600.0  # without anything changing
LAG_SECONDS = 120.0  # that counts may differ though every replica is active and nothing is on its way
ALONE_SECONDS = 30.0  # that the only node there is may not answer: nothing works without it
_SILENT_SECONDS = 60.0  # that a node which works for us may not answer
_LOOK_SECONDS = 5.0
_POLL = 0.2


@dataclass(frozen=True)
class Seen:
    """One observation: `missing` names what is missing, empty if nothing is; `picture` changes with every progress.

    `counts` says that all is there but the numbers are other ones, `silence` is why nothing could be seen.
    """

    missing: str
    picture: object = None
    counts: bool = False
    silence: UnhealthyError | None = None


def wait(name: str, look: Callable[[], Seen], *, alone: bool = False) -> None:
    """Look again and again until nothing is missing of `name`; a node that does not answer is waited for too.

    `alone` says that it is the only one, which is waited for during half a minute. Raises IntegrityError
    (counts_differ), UnhealthyError (qdrant_shards_inactive, or as the node's), InterruptedRunError.
    """
    picture: object = None
    since = settled = heard = time.monotonic()
    while (seen := _look(look)).missing:
        now = time.monotonic()
        if seen.silence is None:
            heard = now
        elif alone and now - heard > ALONE_SECONDS:
            raise seen.silence
        if seen.picture != picture:
            picture, since = seen.picture, now
            report(Progress("qdrant", f"{name}: {seen.missing}"))
        if not seen.counts:
            settled = now
        elif now - settled > LAG_SECONDS:
            raise IntegrityError("counts_differ", f"{name}: {seen.missing}", _COUNTS_HINT)
        if now - since > STUCK_SECONDS:
            what = f"{name}: {seen.missing}, and nothing has changed for {STUCK_SECONDS:.0f} s"
            raise UnhealthyError("qdrant_shards_inactive", what, "`ragops health qdrant`; see `ragops logs qdrant`")
        cancellation.sleep(_POLL)


_COUNTS_HINT = "`ragops backup verify --deep` says whether the recovery point is whole"


def _look(look: Callable[[], Seen]) -> Seen:
    try:
        return look()
    except UnhealthyError as error:
        return Seen(error.message, error.message, silence=error)


def while_answering(client: HttpClient, work: Callable[[], T]) -> T:
    """Return the result of `work`, a request that may take hours, while its server still answers short ones.

    Raises as `work`, UnhealthyError (qdrant_unreachable) if the server is silent for a minute: one that hangs keeps
    its connections open.
    """
    job = BackgroundTask(work, "ragops-qdrant")
    heard = time.monotonic()
    while not job.wait(_POLL):
        cancellation.check()
        if time.monotonic() - heard < _LOOK_SECONDS:
            continue
        try:
            client.within(_LOOK_SECONDS).status("/healthz")
            heard = time.monotonic()
        except RagopsError as error:
            if time.monotonic() - heard > _SILENT_SECONDS:
                what = f"{client.name} hangs: it has not answered for {_SILENT_SECONDS:.0f} s"
                raise UnhealthyError("qdrant_unreachable", what, error.hint) from error
    return job.result()
