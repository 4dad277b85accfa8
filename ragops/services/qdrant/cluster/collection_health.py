"""What the probe says of collections by themselves: their colours, their optimizers, whether they can be asked."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ragops.adapters.qdrant.paths import path_of
from ragops.errors import RagopsError, UnhealthyError
from ragops.services.contract import Check, Status
from ragops.services.qdrant.backup import proven_copies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.services.qdrant.cluster.nodes import Nodes

_LOG = "see `ragops logs qdrant`"
# Optimizing is what a server does after every larger write. What takes longer than this does not end by itself.
_LONG_SECONDS = 3600.0
# Vectors without an index from which on searches are slow: they are compared one by one.
_BACKLOG = 100_000
_SHOWN = 5
_LEAST_SECONDS = 0.2
# Words of refusals that say nothing of a collection's health: its own limits.
_LIMITS = ("rate limit", "strict mode")


@dataclass
class Conditions:
    """The findings on all collections; `busy` are those that are optimized, which is no fault."""

    faults: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)

    def add_fault(self, text: str, hint: str) -> None:
        """Note what is wrong, once."""
        if text not in self.faults:
            self.faults.append(text)
            self.hints.append(hint)

    def checks(self) -> Iterator[Check]:
        """One where something is wrong, else none."""
        if self.faults:
            more = f"; and {len(self.faults) - _SHOWN} more" if len(self.faults) > _SHOWN else ""
            yield Check("collections", Status.DEGRADED, "; ".join(self.faults[:_SHOWN]) + more, self.hints[0])

    def describe_busy(self) -> str:
        """Return which collections are busy, to follow another text."""
        return f"; optimized: {', '.join(self.busy[:_SHOWN])}" if self.busy else ""


def look_at(name: str, nodes: Nodes, deadline: float, found: Conditions) -> None:
    """Every node's word on its part of the collection, then a search in it."""
    for client in nodes.clients:
        one = client.within(max(deadline - time.monotonic(), _LEAST_SECONDS))
        where = f" on {client.name}" if len(nodes.clients) > 1 else ""
        try:
            info = one.get(path_of(name))
        except RagopsError as error:
            if error.code == "qdrant_not_found":  # deleted in between, or not yet made there
                return
            found.add_fault(f"{name} cannot be asked{where}: {error.message}", f"`ragops health qdrant`; {_LOG}")
            return
        _judge(name, where, one, info, found)
    _ask(name, nodes.first.within(max(deadline - time.monotonic(), _LEAST_SECONDS)), info, found)


def _judge(name: str, where: str, client: HttpClient, info: Mapping[str, Any], found: Conditions) -> None:
    status, optimizers = info.get("status", "green"), info.get("optimizer_status", "ok")
    if isinstance(optimizers, dict):
        said = str(optimizers.get("error", optimizers))[:200]
        hint = f"remove the cause ({_LOG}), then have it try again: {_again(name)}"
        found.add_fault(f"{name} cannot be optimized{where}: {said}", hint)
    elif status == "red":
        hint = f"{_LOG}; a restart of that node has it try again, `ragops restore` brings the collection back"
        found.add_fault(f"{name} is red{where}: an operation failed and was not made up for", hint)
    elif status == "grey":
        hint = f"continue it: {_again(name)}"
        found.add_fault(f"{name} is grey{where}: what is to be optimized since the last start is not", hint)
    if status in ("yellow", "grey"):
        _judge_backlog(name, where, info, found)
    if status == "yellow":
        _judge_time(name, where, client, found)


def _again(name: str) -> str:
    return f'PATCH {path_of(name)} {{"optimizers_config": {{}}}} in Qdrant'


def _judge_backlog(name: str, where: str, info: Mapping[str, Any], found: Conditions) -> None:
    points, indexed = int(info.get("points_count") or 0), int(info.get("indexed_vectors_count") or 0)
    if (waiting := points - indexed) >= max(_BACKLOG, points // 2):
        hint = f"searches are slow until the index is built; if that does not end {_LOG}"
        found.add_fault(f"{name}{where}: {waiting} of {points} points are not indexed yet", hint)


def _judge_time(name: str, where: str, client: HttpClient, found: Conditions) -> None:
    """How long it is being optimized, where the server says."""
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


# --- can it be asked? ------------------------------------------------------------------------------------------------


def _ask(name: str, client: HttpClient, info: Mapping[str, Any], found: Conditions) -> None:
    """Search as an application does; without any shard a server closes the connection (seen on 1.18.3)."""
    if not info.get("segments_count", 1):
        return
    question = example_question(info.get("config", {}).get("params", {}))
    path = f"{path_of(name)}/points/query" if question else f"{path_of(name)}/points/scroll"
    try:
        client.send("POST", path, {**question, "limit": 1, "with_payload": False})
    except UnhealthyError as error:
        found.add_fault(f"a search in {name} fails: {error.message}", f"`ragops health qdrant`; {_LOG}")
    except RagopsError as error:
        if error.code != "qdrant_not_found" and not any(words in error.message.lower() for words in _LIMITS):
            found.add_fault(f"a search in {name} fails: {error.message}", f"`ragops health qdrant`; {_LOG}")


def example_question(params: Mapping[str, Any]) -> dict[str, Any]:
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


# --- what restores have left -----------------------------------------------------------------------------------------


def leftovers(client: HttpClient) -> Iterator[Check]:
    """Report copies that a restore has built and not removed: it was killed, failed, or is still running."""
    live = proven_copies.all_names(client)
    found = proven_copies.sort_out(live, proven_copies.all_aliases(client)).values()
    if not found:
        return
    words = []
    for copy in found:
        if copy.stands_in:
            words.append(f"{copy.base} is answered for by its copy {copy.name}")
        elif copy.base not in live and copy.digest:
            words.append(f"{copy.base} is away; all of it is in its proven copy {copy.name}")
        else:
            words.append(f"{copy.name} is left of a restore")
    hint = "if no restore is running: the same `ragops restore` again completes it and removes the copies"
    if all(copy.base in live for copy in found):
        hint = f"{hint}, `ragops restore clean` only removes them"
    yield Check("restore", Status.DEGRADED, "; ".join(words[:_SHOWN]), hint)
