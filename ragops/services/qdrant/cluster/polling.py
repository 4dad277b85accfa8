"""Waits for the work of servers, as long as there is progress."""

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
STUCK_SECONDS = 600.0  # the longest wait without any change
LAG_SECONDS = 120.0  # the longest difference of counts while every replica is active and none is being copied
ALONE_SECONDS = 30.0  # the longest silence of the only node
_SILENT_SECONDS = 60.0  # the longest silence of a node that serves a long request
_LOOK_SECONDS = 5.0
_POLL = 0.2


@dataclass(frozen=True)
class Observation:
    """What servers report at one time: `missing` is what is missing, empty if nothing is.

    `picture` changes with every progress.
    `counts` is set if only the counts differ; `silence` is the error of a node that does not answer.
    """

    missing: str
    picture: object = None
    counts: bool = False
    silence: UnhealthyError | None = None


def wait(name: str, observe: Callable[[], Observation], *, alone: bool = False) -> None:
    """Repeat `observe` until nothing is missing of `name`; a node that does not answer is waited for too.

    With `alone` it is the only node, and is waited for during half a minute. Raises IntegrityError (counts_differ),
    UnhealthyError (qdrant_shards_inactive, or as the node's), InterruptedRunError.
    """
    picture: object = None
    since = settled = heard = time.monotonic()
    while (seen := _try(observe)).missing:
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
            raise IntegrityError("counts_differ", f"cannot build {name}: {seen.missing}", _COUNTS_HINT)
        if now - since > STUCK_SECONDS:
            what = f"cannot build {name}: {seen.missing}, and nothing has changed for {STUCK_SECONDS:.0f} s"
            raise UnhealthyError("qdrant_shards_inactive", what, "`ragops health qdrant`; see `ragops logs qdrant`")
        cancellation.sleep(_POLL)


_COUNTS_HINT = "check the recovery point: `ragops backup verify --deep`"


def _try(observe: Callable[[], Observation]) -> Observation:
    try:
        return observe()
    except UnhealthyError as error:
        return Observation(error.message, error.message, silence=error)


def while_answering(client: HttpClient, work: Callable[[], T]) -> T:
    """Return the result of `work`, a request that may take hours, as long as its server answers short requests.

    Raises as `work`, UnhealthyError (qdrant_unreachable) after a minute of silence: a server that hangs keeps its
    connections open.
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
                what = f"cannot reach {client.name}: it hangs, and has not answered for {_SILENT_SECONDS:.0f} s"
                raise UnhealthyError("qdrant_unreachable", what, error.hint) from error
    return job.result()
