"""Reads of single keys, for a look at whether a restored server is what it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.services.redis.scratch_client import operator_client

if TYPE_CHECKING:
    import redis

    from ragops.services.contract import Endpoint

_SECONDS = 30.0
_LARGEST = 1 << 20  # bytes of a value that is still read as a whole


def read_keys(endpoint: Endpoint, limit: int) -> tuple[int, list[str]]:
    """Read up to `limit` random keys, whatever their type; returns how many, and what is wrong with which.

    A key that expires during the check is ignored.
    """
    checked, wrong = 0, []
    with operator_client(endpoint, _SECONDS) as client:
        batch = client.pipeline(transaction=False)
        for _ in range(limit):
            batch.randomkey()
        for key in {name for name in batch.execute(raise_on_error=False) if isinstance(name, str)}:
            fault = _read(client, key)
            checked += fault is not None
            wrong += [fault] if fault else []
    return checked, wrong


def _read(client: redis.Redis, key: str) -> str | None:
    """Return what is wrong with the key, empty if it can be read; None if it has expired."""
    kind, size = client.type(key), client.memory_usage(key, samples=0)
    if kind == "none" or size is None:
        return None
    if int(str(size)) > _LARGEST:
        return ""
    whole = client.dump(key)  # of any type, as bytes: no client has to understand it
    if whole is None:
        return None
    return "" if whole else f"{key} is empty"
