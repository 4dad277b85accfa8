"""Qdrant's filters as Edge's types: every kind of condition but custom slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qdrant_edge as edge

from ragops.devserver.qdrant.errors import malformed, quoted, unsupported
from ragops.devserver.qdrant.values import Json, body_object, item_list, point_ids, required, whole

if TYPE_CHECKING:
    from collections.abc import Callable

# A filter of a deletion is written to Edge's log, which has a limit of its own on reading (see values.py).
_DEEPEST = 16
_CLAUSES = ("must", "should", "must_not", "min_should")
_MATCHES: dict[str, Callable[[Any], Any]] = {
    "value": edge.MatchValue,
    "text": edge.MatchText,
    "text_any": edge.MatchTextAny,
    "phrase": edge.MatchPhrase,
    "any": edge.MatchAny,
    "except": edge.MatchExcept,
}


def parse(value: object, levels: int = _DEEPEST) -> edge.Filter | None:
    """Parse a filter; None stays None. Raises ApiError if it is not one."""
    if value is None:
        return None
    if levels == 0:
        raise malformed(f"recursion limit exceeded: a filter may have {_DEEPEST} levels")
    body = body_object(value)
    if unknown := sorted(set(body) - set(_CLAUSES)):
        raise malformed(f"unknown field `{unknown[0]}`, expected one of {', '.join(_CLAUSES)}")
    least = body.get("min_should")
    return edge.Filter(
        must=_conditions(body.get("must"), levels),
        should=_conditions(body.get("should"), levels),
        must_not=_conditions(body.get("must_not"), levels),
        min_should=None if least is None else _min_should(body_object(least), levels),
    )


def _min_should(body: Json, levels: int) -> edge.MinShould:
    required(body, "min_count")
    return edge.MinShould(_conditions(required(body, "conditions"), levels) or [], whole(body, "min_count", 0, 0))


def _conditions(value: object, levels: int) -> list[Any] | None:
    """One condition or a list of them."""
    if value is None:
        return None
    items = value if isinstance(value, list) else [value]
    return [_condition(body_object(item), levels - 1) for item in items]


def _condition(body: Json, levels: int) -> Any:
    if "key" in body:
        return _field(body)
    if "is_empty" in body:
        return edge.IsEmptyCondition(required(body_object(body["is_empty"]), "key"))
    if "is_null" in body:
        return edge.IsNullCondition(required(body_object(body["is_null"]), "key"))
    if "has_id" in body:
        return edge.HasIdCondition(set(point_ids(body["has_id"])))
    if "has_vector" in body:
        return edge.HasVectorCondition(body["has_vector"])
    if "nested" in body:
        nested = body_object(body["nested"])
        return edge.NestedCondition(required(nested, "key"), parse(required(nested, "filter"), levels) or edge.Filter())
    if any(clause in body for clause in _CLAUSES):
        return parse(body, levels)
    if "slice" in body:
        raise unsupported("A slice condition")
    raise malformed(f"data did not match any variant of untagged enum Condition: {quoted(body)}")


def _field(body: Json) -> edge.FieldCondition:
    parsers: dict[str, Callable[[Any], Any]] = {
        "match": _match,
        "range": _range,
        "geo_bounding_box": _box,
        "geo_radius": _radius,
        "geo_polygon": _polygon,
        "values_count": lambda value: edge.ValuesCount(**_bounds(value)),
        "is_empty": bool,
        "is_null": bool,
    }
    given = {name: parser(body[name]) for name, parser in parsers.items() if body.get(name) is not None}
    if not given:
        raise malformed(f"a condition on `{body['key']}` must have what is to hold")
    return edge.FieldCondition(body["key"], **given)


def _match(value: object) -> Any:
    body = body_object(value)
    kinds = [kind for kind in _MATCHES if kind in body]
    if len(kinds) != 1:
        raise malformed(f"data did not match any variant of untagged enum Match: {quoted(body)}")
    return _MATCHES[kinds[0]](body[kinds[0]])


def _bounds(value: object) -> Json:
    body = body_object(value)
    return {name: body[name] for name in ("lt", "gt", "lte", "gte") if body.get(name) is not None}


def _range(value: object) -> edge.RangeFloat | edge.RangeDateTime:
    bounds = _bounds(value)
    if any(isinstance(bound, str) for bound in bounds.values()):
        return edge.RangeDateTime(**bounds)
    return edge.RangeFloat(**bounds)


def _geo(value: object) -> edge.GeoPoint:
    body = body_object(value)
    return edge.GeoPoint(required(body, "lon"), required(body, "lat"))


def _box(value: object) -> edge.GeoBoundingBox:
    body = body_object(value)
    return edge.GeoBoundingBox(_geo(required(body, "top_left")), _geo(required(body, "bottom_right")))


def _radius(value: object) -> edge.GeoRadius:
    body = body_object(value)
    return edge.GeoRadius(_geo(required(body, "center")), required(body, "radius"))


def _polygon(value: object) -> edge.GeoPolygon:
    body = body_object(value)
    rings = [required(body, "exterior"), *(body.get("interiors") or [])]
    exterior, *interiors = (
        [_geo(point) for point in item_list(required(body_object(ring), "points"), "points")] for ring in rings
    )
    return edge.GeoPolygon(exterior, interiors or None)
