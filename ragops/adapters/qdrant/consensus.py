"""Changes that all nodes of a cluster have to agree on: a change that was lost is sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_ATTEMPTS = 4
_LOST = "consensus operation commit failed"


def retry_consensus(change: Callable[[], T], done_before: str = "") -> T | None:
    """Return the result of `change`, repeated if consensus lost it.

    A node passes a change on to the leader. If that leader is gone the change is lost, and the node waits for it until
    its time-out (seen on 1.18.3). `done_before` is the code of the error that a repeated change meets if the first one
    was carried out after all; None is returned then. Raises as `change` does.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return change()
        except RagopsError as error:
            if attempt > 1 and error.code == done_before:
                return None
            if attempt == _ATTEMPTS or _LOST not in error.message:
                raise
    raise AssertionError("unreachable")
