"""Whether each collection can be asked: its model is known to the API, and gives vectors like those that are stored."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from ragops.embedding.null_embedder import BM25_NAME
from ragops.embedding.spec import local_spec
from ragops.services.contract import Check, Status
from ragops.services.qdrant.backup import sampling as qdrant
from ragops.services.timescaledb.collections.made_with import made_with

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ragops.services.contract import Endpoint
    from ragops.services.timescaledb.collections.made_with import MadeWith

NAME = "models"
_SHOWN = 5


def check(endpoints: Mapping[str, Endpoint], deadline: float, timeout: float) -> Check:
    """Return the finding on the models of all collections; `timeout` seconds for each question. Raises RagopsError."""
    api = endpoints.get("api")
    if api is None or not api.options.get("models"):  # an earlier release provisioned it, or search is by words alone
        return Check(NAME, Status.OK, "not compared: the API does not name its models")
    known: dict[str, dict[str, Any]] = json.loads(api.options["models"])
    rows = [row for row in made_with(endpoints["timescaledb"], timeout) if row.enabled and row.embedder != BM25_NAME]
    aliases = qdrant.aliases(endpoints["qdrant"], timeout)
    faults: dict[str, str] = {}
    for looked, row in enumerate(rows):
        if time.monotonic() > deadline:
            return _finding(faults, f"{looked} of {len(rows)} collections looked at in time")
        vectors = qdrant.vectors_of(endpoints["qdrant"], row.points, timeout)
        faults.update((hint, fault) for fault, hint in _faults(row, known, vectors, aliases) if hint not in faults)
    return _finding(faults, f"collections whose model the API has: {len(rows)}")


def _finding(faults: Mapping[str, str], fine: str) -> Check:
    if not faults:
        return Check(NAME, Status.OK, fine)
    texts = list(faults.values())
    more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return Check(NAME, Status.DEGRADED, "; ".join(texts[:_SHOWN]) + more, "; ".join(list(faults)[:_SHOWN]))


def _faults(
    row: MadeWith, known: Mapping[str, Mapping[str, Any]], vectors: qdrant.Vectors | None, aliases: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a collection, and the command against it."""
    rebuild = f"`ragops ingest --rebuild {row.name}`"
    model, local = known.get(row.embedder), local_spec(row.embedder)
    if model is None and local is None:
        what = f"{row.name} cannot be asked: its vectors were made with {row.embedder}, which the API does not have"
        yield what, f"add the model to `api.models`, or `ragops collection set {row.name} --model MODEL` and {rebuild}"
        return
    wanted = local.dimensions if local else (model or {}).get("dimensions")
    if wanted and vectors and vectors.size not in (None, wanted):
        what = f"{row.name} cannot be asked: it has vectors of {vectors.size} numbers, {row.embedder} gives {wanted}"
        yield what, f"run {rebuild}"
    prefix = (model or {}).get("passage_prefix")
    if row.passage_prefix is not None and prefix is not None and row.passage_prefix != prefix:
        yield f"{row.name} was made with another prefix of passages than {row.embedder} has now", f"run {rebuild}"
    if row.points != row.name and aliases.get(row.alias) != row.points:
        what = f"the alias {row.alias} of {row.points} is missing"
        yield what, f"run `ragops ingest {row.name}`, which sets it"
