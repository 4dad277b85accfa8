"""Health checks of single collections: their colours, their optimizers, a search, and the copies of restores."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ragops.adapters.qdrant.addresses import path_of
from ragops.errors import RagopsError, UnhealthyError
from ragops.services.contract import Check, Status
from ragops.services.qdrant.backup import proven_copies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.services.qdrant.cluster.nodes import Nodes

_LOG = "see `ragops logs qdrant`"
# A server optimizes after every larger write. An optimization that takes longer than this does not end by itself.
_LONG_SECONDS = 3600.0
# So many vectors without an index make searches slow: they are compared one by one.
_BACKLOG = 100_000
_SHOWN = 5
_LEAST_SECONDS = 0.2
# Texts of refusals by the collection's own limits, which are no fault of its health.
_LIMITS = ("rate limit", "strict mode")


@dataclass
class Conditions:
    """The findings on all collections; `busy` are those that are being optimized, which is no fault."""

    faults: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)

    def add_fault(self, text: str, hint: str) -> None:
        """Add a fault, once."""
        if text not in self.faults:
            self.faults.append(text)
            self.hints.append(hint)

    def checks(self) -> Iterator[Check]:
        """Return a check if there are faults."""
        if self.faults:
            more = f"; and {len(self.faults) - _SHOWN} more" if len(self.faults) > _SHOWN else ""
            yield Check("collections", Status.DEGRADED, "; ".join(self.faults[:_SHOWN]) + more, self.hints[0])

    def describe_busy(self) -> str:
        """Return a text about the busy collections, to append to another one."""
        return f"; optimized: {', '.join(self.busy[:_SHOWN])}" if self.busy else ""


def check_collection(name: str, nodes: Nodes, deadline: float, found: Conditions) -> None:
    """Check the collection as every node reports it, then search in it."""
    for client in nodes.clients:
        one = client.within(max(deadline - time.monotonic(), _LEAST_SECONDS))
        where = f" on {client.name}" if len(nodes.clients) > 1 else ""
        try:
            info = one.collection(name)
        except RagopsError as error:
            if error.code == "qdrant_not_found":  # deleted in between, or not yet created there
                return
            found.add_fault(
                f"cannot read the state of {name}{where}: {error.message}", f"`ragops health qdrant`; {_LOG}"
            )
            return
        _check_state(name, where, one, info, found)
    _check_search(name, nodes.first.within(max(deadline - time.monotonic(), _LEAST_SECONDS)), info, found)


def _check_state(name: str, where: str, client: HttpClient, info: Mapping[str, Any], found: Conditions) -> None:
    status, optimizers = info.get("status", "green"), info.get("optimizer_status", "ok")
    if isinstance(optimizers, dict):
        cause = str(optimizers.get("error", optimizers))[:200]
        hint = f"remove the cause ({_LOG}), then start it again: {_restart_command(name)}"
        found.add_fault(f"{name} cannot be optimized{where}: {cause}", hint)
    elif status == "red":
        hint = f"{_LOG}; a restart of that node repeats it, `ragops restore` brings the collection back"
        found.add_fault(f"{name} is red{where}: an operation failed and was not repeated", hint)
    elif status == "grey":
        hint = f"continue it: {_restart_command(name)}"
        found.add_fault(f"{name} is grey{where}: its optimization has not continued since the last start", hint)
    if status in ("yellow", "grey"):
        _check_backlog(name, where, info, found)
    if status == "yellow":
        _check_duration(name, where, client, found)


def _restart_command(name: str) -> str:
    return f'PATCH {path_of(name)} {{"optimizers_config": {{}}}} in Qdrant'


def _check_backlog(name: str, where: str, info: Mapping[str, Any], found: Conditions) -> None:
    points, indexed = int(info.get("points_count") or 0), int(info.get("indexed_vectors_count") or 0)
    if (waiting := points - indexed) >= max(_BACKLOG, points // 2):
        hint = f"searches are slow until the index is built; if that does not end {_LOG}"
        found.add_fault(f"{name}{where}: {waiting} of {points} points are not indexed yet", hint)


def _check_duration(name: str, where: str, client: HttpClient, found: Conditions) -> None:
    """Check how long it has been optimized, if the server reports that."""
    try:
        running = client.get(f"{path_of(name)}/optimizations").get("running", [])
    except (RagopsError, AttributeError):  # older than 1.17
        running = []
    starts = [start for one in running if (start := _start_time(one))]
    seconds = (datetime.now(tz=UTC) - min(starts)).total_seconds() if starts else 0.0
    if seconds > _LONG_SECONDS:
        hint = f"too little memory or processor time for it? {_LOG}"
        found.add_fault(f"{name} is being optimized{where} for {seconds / 3600:.1f} h", hint)
    else:
        found.busy.append(name) if name not in found.busy else None


def _start_time(optimization: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(str(optimization["progress"]["started_at"]))
    except (KeyError, TypeError, ValueError):
        return None


def _check_search(name: str, client: HttpClient, info: Mapping[str, Any], found: Conditions) -> None:
    """Search as an application does, not without any shard: a server closes the connection then (seen on 1.18.3)."""
    if not info.get("segments_count", 1):
        return
    query = example_query(info.get("config", {}).get("params", {}))
    path = f"{path_of(name)}/points/query" if query else f"{path_of(name)}/points/scroll"
    try:
        client.send("POST", path, {**query, "limit": 1, "with_payload": False})
    except UnhealthyError as error:
        found.add_fault(f"a search in {name} fails: {error.message}", f"`ragops health qdrant`; {_LOG}")
    except RagopsError as error:
        if error.code != "qdrant_not_found" and not any(limit in error.message.lower() for limit in _LIMITS):
            found.add_fault(f"a search in {name} fails: {error.message}", f"`ragops health qdrant`; {_LOG}")


def example_query(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a query for the first vector of a collection with such parameters, nothing if it has none."""
    vectors = params.get("vectors") or {}
    named = {"": vectors} if "size" in vectors else vectors
    for using, one in named.items():
        numbers: list[Any] = [1.0] * int(one["size"])
        query = [numbers] if one.get("multivector_config") else numbers
        return {"query": query, "using": using} if using else {"query": query}
    for using in params.get("sparse_vectors") or {}:
        return {"query": {"indices": [0], "values": [1.0]}, "using": using}
    return {}


def check_leftovers(client: HttpClient) -> Iterator[Check]:
    """Report copies that a restore has built and not removed: it was killed, failed, or is still running."""
    live = client.collection_names()
    found = proven_copies.find(client, live).values()
    if not found:
        return
    texts = []
    for copy in found:
        if copy.stands_in:
            texts.append(f"{copy.base} is answered for by its copy {copy.name}")
        elif copy.base not in live and copy.digest:
            texts.append(f"{copy.base} is away; all of it is in its proven copy {copy.name}")
        else:
            texts.append(f"{copy.name} is left of a restore")
    hint = "if no restore is running: the same `ragops restore` again completes it and removes the copies"
    if all(copy.base in live for copy in found):
        hint = f"{hint}, `ragops restore clean` only removes them"
    yield Check("restore", Status.DEGRADED, "; ".join(texts[:_SHOWN]), hint)
