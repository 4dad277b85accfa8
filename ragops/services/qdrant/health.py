"""The probe of Qdrant: reachable, key, writable, shards, disk."""

from __future__ import annotations

import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

from ragops.errors import RagopsError
from ragops.services.contract import Capability, Check, ProbeResult, Status
from ragops.services.qdrant import HEALTH_COLLECTION, is_internal
from ragops.services.qdrant.rest import connected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.rest import Rest

_LOG = "see `ragops logs qdrant`"
_FULL = 0.9  # share of the disk from which on it is worth a word
_PREPARE_SECONDS = 30.0
_SCRATCH = f"/collections/{HEALTH_COLLECTION}"


def prepare(endpoint: Endpoint) -> None:
    """Make the collection that probes write in, where it is missing."""
    with connected(endpoint, _PREPARE_SECONDS) as rest:
        _make_scratch(rest)


def probe(endpoint: Endpoint, timeout: float) -> ProbeResult:
    """Look at the live server for at most `timeout` seconds; never raises."""
    started = time.monotonic()
    deadline = started + timeout
    checks: list[Check] = []
    try:
        with connected(endpoint, timeout) as rest:
            checks.append(_reachable(rest, started))
            checks.append(_key(rest))
            checks.append(_write(rest))
            checks.append(_shards(rest, deadline))
        checks += _disk(endpoint)
    except RagopsError as error:
        name = "reachable" if not checks else "answer"
        checks.append(Check(name, Status.DOWN, error.message, error.hint))
    except Exception as error:
        checks.append(Check("answer", Status.DOWN, f"unexpected answer: {type(error).__name__}: {error}", _LOG))
    return ProbeResult("qdrant", tuple(checks), time.monotonic() - started, endpoint.version)


def _reachable(rest: Rest, started: float) -> Check:
    status = rest.status("/readyz")
    milliseconds = (time.monotonic() - started) * 1000
    if status != 200:
        hint = f"a collection cannot be opened; {_LOG}, `ragops restore` brings it back"
        return Check("reachable", Status.DEGRADED, f"it answers, but is not ready ({status})", hint)
    return Check("reachable", Status.OK, f"answers in {milliseconds:.0f} ms")


def _key(rest: Rest) -> Check:
    """The right key opens it, and nothing else does. Raises MissingError (qdrant_key_refused)."""
    rest.get("/collections")
    if rest.status("/collections", with_key=False) not in (401, 403):
        return Check("key", Status.DEGRADED, "it answers without a key", "set `service.api_key` on that server")
    return Check("key", Status.OK, "the key is asked for and accepted")


def _write(rest: Rest) -> Check:
    """A point of its own, so that probes at the same time do not meet."""
    point, value = str(uuid4()), secrets.token_hex(8)
    try:
        try:
            _put(rest, point, value)
        except RagopsError as error:
            if error.code != "qdrant_not_found":
                raise
            _make_scratch(rest)
            _put(rest, point, value)
        found = rest.get(f"{_SCRATCH}/points/{point}")
        rest.send("POST", f"{_SCRATCH}/points/delete", {"points": [point]}, wait="true")
    except RagopsError as error:
        return Check("write", Status.DOWN, error.message, error.hint or _LOG)
    if found["payload"].get("probe") != value:
        return Check("write", Status.DOWN, "a point that was written could not be read back", _LOG)
    return Check("write", Status.OK, "a point was written and read back")


def _put(rest: Rest, point: str, value: str) -> None:
    body = {"points": [{"id": point, "vector": [1.0], "payload": {"probe": value}}]}
    rest.send("PUT", f"{_SCRATCH}/points", body, wait="true")


def _make_scratch(rest: Rest) -> None:
    try:
        rest.send("PUT", _SCRATCH, {"vectors": {"size": 1, "distance": "Dot"}})
    except RagopsError as error:
        if error.code != "qdrant_exists":
            raise


def _shards(rest: Rest, deadline: float) -> Check:
    """Every replica of every shard of every collection is active."""
    names = [item["name"] for item in rest.get("/collections")["collections"] if not is_internal(item["name"])]
    faults: list[str] = []
    for looked, name in enumerate(names):
        if time.monotonic() > deadline:
            hint = "give the probe more time"
            return Check("shards", Status.DEGRADED, f"{looked} of {len(names)} collections looked at in time", hint)
        try:
            faults += _inactive(name, rest.get(f"/collections/{quote(name, safe='')}/cluster"))
        except RagopsError as error:
            if error.code != "qdrant_not_found":  # deleted meanwhile
                faults.append(f"{name}: {error.message}")
    if faults:
        return Check("shards", Status.DEGRADED, "; ".join(faults[:5]), _LOG)
    return Check("shards", Status.OK, f"{len(names)} collections, all shards active")


def _inactive(name: str, cluster: dict[str, Any]) -> Iterator[str]:
    for shard in (*cluster["local_shards"], *cluster["remote_shards"]):
        if shard["state"] != "Active":
            yield f"{name}: shard {shard['shard_id']} is {shard['state']}"


def _disk(endpoint: Endpoint) -> Iterator[Check]:
    storage = endpoint.options.get("storage", "")
    if endpoint.can(Capability.READ_FILES) and storage and Path(storage).is_dir():
        usage = shutil.disk_usage(storage)
        full = usage.used > _FULL * (usage.used + usage.free)
        status = Status.DEGRADED if full else Status.OK
        detail = f"{usage.free / 2**20:.0f} MiB free"
        yield Check("disk", status, detail, "free some space on that disk" if full else "")
