"""Changes that all nodes of a cluster have to agree on, asked for again where they got lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragops.errors import RagopsError

if TYPE_CHECKING:
    from ragops.adapters.qdrant.http import HttpClient

_ATTEMPTS = 4
_SECONDS = "15"
_DONE_BEFORE = (("PUT", "qdrant_exists"), ("DELETE", "qdrant_not_found"))
_LOST = "consensus operation commit failed"


def retry_consensus(client: HttpClient, method: str, path: str, body: object = None, **query: str) -> Any:
    """Return the result of a request that changes the catalogue or the cluster, repeated if consensus lost it.

    What a node passes on to a leader that is no more is never done, and the node waits for it all the same (seen on
    1.18.3): it gets little time and is repeated. Raises as `HttpClient.send`; what an earlier attempt made after all
    counts as made.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return client.send(method, path, body, timeout=_SECONDS, **query)
        except RagopsError as error:
            if attempt > 1 and (method, error.code) in _DONE_BEFORE:
                return True
            if attempt == _ATTEMPTS or _LOST not in error.message:
                raise
    raise AssertionError("unreachable")
