"""The probe of Qdrant: reachable, key, cluster, writable, shards and their replicas, disk."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from ragops.errors import RagopsError
from ragops.services.contract import Check, ProbeResult, Status
from ragops.services.contract.probe import check_disk
from ragops.services.qdrant.cluster import health
from ragops.services.qdrant.cluster.nodes import connect, is_cluster
from ragops.services.qdrant.cluster.prepare import HEALTH_PATH, ensure_health_collection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.cluster.nodes import Nodes

_LOG = "see `ragops logs qdrant`"
_LEAST_SECONDS = 0.2
_READY_SHARE = 0.4  # of the probe's time, for nodes that are not ready


def probe(endpoint: Endpoint, timeout: float) -> ProbeResult:
    """Probe the live nodes for at most `timeout` seconds; never raises."""
    started = time.monotonic()
    checks: list[Check] = []
    try:
        with connect(endpoint, timeout) as nodes:
            checks.append(_reachable(endpoint, nodes, started, started + _READY_SHARE * timeout))
            checks.append(_key(nodes))
            checks += _Probe(endpoint, nodes, started + timeout).checks()
    except RagopsError as error:
        name = "reachable" if not checks else "answer"
        checks.append(Check(name, Status.DOWN, error.message, error.hint))
    except Exception as error:
        checks.append(Check("answer", Status.DOWN, f"unexpected answer: {type(error).__name__}: {error}", _LOG))
    return ProbeResult("qdrant", tuple(checks), time.monotonic() - started, endpoint.version)


@dataclass(frozen=True)
class _Probe:
    """The checks that need the key, until `deadline` by the monotonic clock."""

    endpoint: Endpoint
    nodes: Nodes
    deadline: float

    def checks(self) -> Iterator[Check]:
        """Check the shards before the write: a write may wait for a node that is gone."""
        if is_cluster(self.endpoint):
            yield health.check_members(self.endpoint, self.nodes)
        yield from health.check_shards(self.endpoint, self.nodes, self.deadline)
        yield self._write()
        if self.endpoint.files_here and (storage := self.endpoint.options.get("storage")):
            yield from check_disk(Path(storage))

    def _write(self) -> Check:
        """Write through one node and, if there are several, read back through another."""
        left = max(self.deadline - time.monotonic(), _LEAST_SECONDS)
        writer, reader = self.nodes.clients[0].within(left), self.nodes.clients[-1].within(left)
        check = _check_write(writer, reader, len(self.nodes.clients) + len(self.nodes.unreachable))
        if check.status is Status.DOWN and self.nodes.unreachable:
            # The first write after a node was lost waits until the cluster has noticed.
            return replace(check, status=Status.DEGRADED, detail=f"{check.detail}; a node is away", hint=_LOG)
        return check


def _reachable(endpoint: Endpoint, nodes: Nodes, started: float, deadline: float) -> Check:
    milliseconds = (time.monotonic() - started) * 1000
    total = len(nodes.clients) + len(nodes.unreachable)
    if nodes.unreachable:
        detail = "; ".join(error.message for error in nodes.unreachable.values())
        hint = f"`ragops up` starts what is stopped; {_LOG}"
        return Check("reachable", Status.DEGRADED, f"{len(nodes.clients)} of {total} nodes answer: {detail}", hint)
    if unready := [client.name for client in _unready(endpoint, nodes, deadline)]:
        what = "it answers, but is not ready" if total == 1 else f"not ready yet: {', '.join(unready)}"
        hint = f"a collection cannot be opened; {_LOG}, `ragops restore` brings it back"
        if is_cluster(endpoint):
            hint = f"its shards are filled from the other nodes; if that does not end {_LOG}"
        return Check("reachable", Status.DEGRADED, what, hint)
    what = "answers" if total == 1 else f"{total} nodes answer"
    return Check("reachable", Status.OK, f"{what} in {milliseconds:.0f} ms")


def _unready(endpoint: Endpoint, nodes: Nodes, deadline: float) -> list[HttpClient]:
    """Return the nodes that report that they are not ready.

    A server checks itself only during a request for /readyz, one step with each: the first ones after a start report
    that it is not ready (seen on 1.18.3).
    """
    unready: list[HttpClient] = list(nodes.clients)
    while unready := [client for client in unready if client.status("/readyz") != 200]:
        if not is_cluster(endpoint) or time.monotonic() > deadline:
            break
    return unready


def _key(nodes: Nodes) -> Check:
    """Check that the right key opens every node, and nothing else does. Raises MissingError (qdrant_key_refused)."""
    for client in nodes.clients:
        client.collection_names()
    if any(client.status("/collections", with_key=False) not in (401, 403) for client in nodes.clients):
        return Check("key", Status.DEGRADED, "it answers without a key", "set `service.api_key` on that server")
    return Check("key", Status.OK, "the key is asked for and accepted")


def _check_write(writer: HttpClient, reader: HttpClient, nodes: int) -> Check:
    """Write a point of this probe's own, so that several probes at once do not disturb one another."""
    point, value = str(uuid4()), secrets.token_hex(8)
    try:
        try:
            _put(writer, point, value)
        except RagopsError as error:
            if error.code != "qdrant_not_found":
                raise
            ensure_health_collection(writer, nodes)
            _put(writer, point, value)
        found = reader.get(f"{HEALTH_PATH}/points/{point}")
        writer.send("POST", f"{HEALTH_PATH}/points/delete", {"points": [point]}, wait="true")
    except RagopsError as error:
        return Check("write", Status.DOWN, error.message, error.hint or _LOG)
    if found["payload"].get("probe") != value:
        return Check("write", Status.DOWN, "a point that was written could not be read back", _LOG)
    return Check("write", Status.OK, "a point was written and read back")


def _put(client: HttpClient, point: str, value: str) -> None:
    body = {"points": [{"id": point, "vector": [1.0], "payload": {"probe": value}}]}
    client.send("PUT", f"{HEALTH_PATH}/points", body, wait="true")
