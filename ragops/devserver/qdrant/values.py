"""JSON values to Edge's types and back: ids, vectors, points, selectors, answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import qdrant_edge as edge

from ragops.devserver.qdrant import vectors
from ragops.devserver.qdrant.errors import bad_input, invalid, malformed, quoted, unsupported

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence, Sized

Json = dict[str, Any]

_LARGEST_ID = 2**64 - 1
# Deeper ones Edge writes to its log and then cannot read back, which makes the whole shard unreadable after a crash
# (seen on 0.9.0: from about 125 levels on).
_DEEPEST_PAYLOAD = 64


def body_object(value: object) -> Json:
    """Return the body as an object."""
    if not isinstance(value, dict):
        raise malformed(f"expected an object, found {quoted(value)}")
    return value


def required(body: Json, name: str) -> Any:
    """Return the member `name`; an error in serde's wording if it is missing."""
    if name not in body:
        raise malformed(f"missing field `{name}`")
    return body[name]


def item_list(value: object, name: str) -> list[Any]:
    """Return a list."""
    if not isinstance(value, list):
        raise malformed(f"invalid type of `{name}`: {quoted(value)}, expected a sequence")
    return value


def whole(body: Json, name: str, default: int, least: int) -> int:
    """Return a whole number of at least `least`."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise malformed(f"invalid value of `{name}`: {quoted(value)}, expected usize")
    if value < least:
        raise invalid("JSON body", name, f"value {value} invalid, must be {least} or larger")
    return min(value, 2**32)


def refuse(body: Json, *names: str) -> None:
    """Answer 501 where the request uses one of `names`."""
    for name in names:
        if body.get(name) is not None:
            raise unsupported(f"`{name}`")


def point_id(value: object) -> int | UUID:
    """Return an unsigned whole number or a UUID."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_ID:
        return value
    try:
        if isinstance(value, str):
            return UUID(value)
    except ValueError:
        pass
    what = f"value {quoted(value)} is not a valid point ID, valid values are either an unsigned integer or a UUID"
    raise malformed(what)


def point_ids(value: object) -> list[int | UUID | str]:
    """Return a list of ids."""
    return [point_id(item) for item in item_list(value, "ids")]


def plain_id(value: int | UUID) -> int | str:
    """Return an id as JSON has it."""
    return value if isinstance(value, int) else str(value)


def payload(value: object) -> Json:
    """Return a payload that Edge can read back after a crash."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise malformed(f"invalid type of `payload`: {quoted(value)}, expected a map")
    if _deeper(value, _DEEPEST_PAYLOAD):
        raise malformed(f"recursion limit exceeded: a payload may have {_DEEPEST_PAYLOAD} levels")
    return value


def _deeper(value: object, levels: int) -> bool:
    """Whether `value` has more than `levels` levels."""
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(item, levels - 1) for item in inner)


def points(body: Json, size: int, sparse: Collection[str] = ()) -> list[edge.Point]:
    """Return the points of an upsert, given as a list or as a batch; all are checked before any is stored.

    `size` is the length of dense vectors, 0 if there are none; `sparse` are the names of the sparse ones.
    """
    refuse(body, "shard_key", "update_filter", "update_mode")
    rows = _batch(body["batch"]) if "batch" in body else item_list(required(body, "points"), "points")
    for number, row in enumerate(rows):
        if body_object(row).get("vector") == []:
            where = "batch.vector" if "batch" in body else f"points[{number}].vector.vector"
            raise invalid("JSON body", where, "dense vector must not be empty")
    return [_point(body_object(row), size, sparse) for row in rows]


def _point(row: Json, size: int, sparse: Collection[str]) -> edge.Point:
    made = vectors.of_point(required(row, "vector"), size, sparse)
    return edge.Point(point_id(required(row, "id")), made, payload(row.get("payload")))


def _batch(value: object) -> list[Json]:
    batch = body_object(value)
    ids, given = item_list(required(batch, "ids"), "ids"), required(batch, "vectors")
    if isinstance(given, dict):  # a list for each name, as long as the ids
        lists = {name: item_list(one, "vectors") for name, one in given.items()}
        given = [{name: one[number] for name, one in lists.items()} for number in range(_shortest(lists))]
    payloads: Sequence[object] = item_list(batch.get("payloads") or [None] * len(ids), "payloads")
    if not len(ids) == len(item_list(given, "vectors")) == len(payloads):
        counts = f"{len(ids)} ids, {len(given)} vectors, {len(payloads)} payloads"
        raise bad_input(f"number of ids, vectors and payloads differ: {counts}")
    return [{"id": one, "vector": two, "payload": three} for one, two, three in zip(ids, given, payloads, strict=True)]


def _shortest(lists: Mapping[str, Sized]) -> int:
    return min(map(len, lists.values()), default=0)


def payload_selector(value: object, default: bool) -> bool | list[str] | edge.PayloadSelector:
    """`with_payload`: all, nothing, or keys to include or exclude."""
    if value is None or isinstance(value, bool):
        return default if value is None else value
    if isinstance(value, list):
        return _keys(value)
    chosen = body_object(value)
    if "include" in chosen:
        return _keys(chosen["include"])
    return edge.PayloadSelector.Exclude(_keys(required(chosen, "exclude")))


def _keys(value: object) -> list[str]:
    keys = item_list(value, "with_payload")
    if not all(isinstance(key, str) for key in keys):
        raise malformed("invalid type of `with_payload`: expected names")
    return keys


def vector_selector(value: object) -> bool | list[str]:
    """`with_vector`: whether to return vectors, or which by name."""
    if isinstance(value, list):
        return [str(name) for name in value]
    if value is not None and not isinstance(value, bool):
        raise malformed(f"invalid type of `with_vector`: {quoted(value)}, expected a boolean")
    return bool(value)


def record(found: edge.Record | edge.ScoredPoint) -> Json:
    """Return a point as an answer shows it, without what was not asked for."""
    answer: Json = {"id": plain_id(found.id)}  # type: ignore[arg-type]
    if found.payload is not None:
        answer["payload"] = found.payload
    if found.vector is not None:
        answer["vector"] = vectors.show(found.vector)
    return answer


def scored(found: edge.ScoredPoint) -> Json:
    """Return a hit of a search."""
    return {"id": None, "version": found.version, "score": found.score, **record(found)}
