"""A request to query as Edge takes it: nearest to a vector or a text, or several such results fused by rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import qdrant_edge as edge

from ragops.devserver.qdrant import filters, values, vectors
from ragops.devserver.qdrant.errors import bad_input, invalid, malformed, unsupported

if TYPE_CHECKING:
    from collections.abc import Collection

    from ragops.devserver.qdrant.values import Json

_OPTIONS = ("hnsw_ef", "exact", "indexed_only")
_RRF_K = 2  # the server's own, without another one in the request


@dataclass(frozen=True)
class Parser:
    """Parses queries to a collection with dense vectors of `size` numbers (0: none) and these sparse ones."""

    size: int
    sparse: Collection[str]

    def request(self, body: Json) -> edge.QueryRequest:
        """Return the request. Raises ApiError."""
        values.refuse(body, "shard_key", "lookup_from")
        prefetches = self._prefetches(body)
        return edge.QueryRequest(
            limit=values.whole(body, "limit", 10, 1),
            offset=values.whole(body, "offset", 0, 0),
            query=self._query(body, len(prefetches)),
            prefetches=prefetches,
            filter=filters.parse(body.get("filter")),
            score_threshold=_threshold(body),
            params=_search_params(body),
            with_payload=values.payload_selector(body.get("with_payload"), False),
            with_vector=values.vector_selector(body.get("with_vector")),
        )

    def _prefetches(self, body: Json) -> list[edge.Prefetch]:
        given = body.get("prefetch")
        several = given if isinstance(given, list) else [] if given is None else [given]
        return [self._prefetch(values.body_object(one)) for one in several]

    def _prefetch(self, body: Json) -> edge.Prefetch:
        values.refuse(body, "lookup_from")
        inner = self._prefetches(body)
        return edge.Prefetch(
            limit=values.whole(body, "limit", 10, 1),
            query=self._query(body, len(inner)),
            prefetches=inner,
            filter=filters.parse(body.get("filter")),
            score_threshold=_threshold(body),
            params=_search_params(body),
        )

    def _query(self, body: Json, prefetches: int) -> Any:
        query, using = body.get("query"), body.get("using") or ""
        if isinstance(query, dict) and ("fusion" in query or "rrf" in query):
            return _fusion(query, prefetches)
        if isinstance(query, dict) and set(query) == {"nearest"}:
            query = query["nearest"]
        if isinstance(query, dict) and (vectors.is_inference(query) or "indices" in query):
            vectors.check_name(using, self.sparse)
            made = vectors.of_question(query) if "text" in query else vectors.of_weights(query, "query")
            return edge.Query.Nearest(made, using=using)
        if not isinstance(query, list):
            raise unsupported("A query other than the nearest points of a vector or a text, and fusion by rank,")
        if using:
            vectors.check_name(using, self.sparse)
            raise bad_input("Conversion between sparse and regular vectors failed")
        return edge.Query.Nearest(vectors.dense(query, self.size))


def _fusion(query: Json, prefetches: int) -> Any:
    rrf = query.get("rrf")
    if rrf is None:
        if query["fusion"] != "rrf":
            raise unsupported("A fusion other than by rank (RRF)")
        rrf = {}
    options = values.body_object(rrf)
    if not prefetches:
        raise bad_input("Validation failed: cannot apply Fusion without prefetches")
    k, weights = options.get("k", _RRF_K), options.get("weights")
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise invalid("JSON body", "query.rrf.k", f"value {k} invalid, must be 1 or larger")
    if weights is not None and len(values.item_list(weights, "weights")) != prefetches:
        what = f"RRF weights length ({len(weights)}) does not match number of prefetches ({prefetches})"
        raise bad_input(f"Validation failed: {what}")
    return edge.Fusion.Rrf(k, weights)


def _threshold(body: Json) -> float | None:
    threshold = body.get("score_threshold")
    if threshold is None:
        return None
    if not isinstance(threshold, int | float) or isinstance(threshold, bool):
        raise malformed("invalid type of `score_threshold`: expected a number")
    return float(threshold)


def _search_params(body: Json) -> edge.SearchParams:
    params = values.body_object(body.get("params") or {})
    return edge.SearchParams(**{name: params[name] for name in _OPTIONS if params.get(name) is not None})
