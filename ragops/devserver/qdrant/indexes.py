"""Payload indexes: Qdrant's field schemas as Edge's types and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import qdrant_edge as edge

from ragops.devserver.qdrant.errors import malformed, quoted, unsupported
from ragops.devserver.qdrant.values import Json, body_object, required

_COMMON = ("on_disk", "enable_hnsw")


@dataclass(frozen=True)
class _Kind:
    plain: Any
    params: Any
    fields: tuple[str, ...]


_TYPES = edge.PayloadSchemaType
_KINDS = {
    "keyword": _Kind(_TYPES.Keyword, edge.KeywordIndexParams, ("is_tenant", "prefix", *_COMMON)),
    "integer": _Kind(_TYPES.Integer, edge.IntegerIndexParams, ("lookup", "range", "is_principal", *_COMMON)),
    "float": _Kind(_TYPES.Float, edge.FloatIndexParams, ("is_principal", *_COMMON)),
    "geo": _Kind(_TYPES.Geo, edge.GeoIndexParams, _COMMON),
    "text": _Kind(
        _TYPES.Text,
        edge.TextIndexParams,
        ("tokenizer", "min_token_len", "max_token_len", "lowercase", "ascii_folding", "phrase_matching", *_COMMON),
    ),
    "bool": _Kind(_TYPES.Bool, edge.BoolIndexParams, _COMMON),
    "datetime": _Kind(_TYPES.Datetime, edge.DatetimeIndexParams, ("is_principal", *_COMMON)),
    "uuid": _Kind(_TYPES.Uuid, edge.UuidIndexParams, ("is_tenant", *_COMMON)),
}
_TOKENIZERS = {
    "prefix": edge.TokenizerType.Prefix,
    "whitespace": edge.TokenizerType.Whitespace,
    "word": edge.TokenizerType.Word,
    "multilingual": edge.TokenizerType.Multilingual,
}


def parse(body: Json) -> tuple[str, Any]:
    """Return the field and the schema of a request to index."""
    name = required(body, "field_name")
    if not isinstance(name, str):
        raise malformed(f"invalid type of `field_name`: {quoted(name)}, expected a string")
    schema = body.get("field_schema")
    if schema is None:
        raise unsupported("An index of a type that the server is to guess")
    return name, _kind(schema).plain if isinstance(schema, str) else _with_params(body_object(schema))


def _kind(name: object) -> _Kind:
    if not isinstance(name, str) or name not in _KINDS:
        raise malformed(f"unknown variant {quoted(name)}, expected one of {', '.join(_KINDS)}")
    return _KINDS[name]


def _with_params(schema: Json) -> Any:
    kind = _kind(required(schema, "type"))
    given = {name: value for name, value in schema.items() if value is not None and name != "type"}
    if unknown := sorted(set(given) - set(kind.fields)):
        raise unsupported(f"The index parameter `{unknown[0]}`")
    if "tokenizer" in given:
        if given["tokenizer"] not in _TOKENIZERS:
            raise malformed(f"unknown variant {quoted(given['tokenizer'])}, expected one of {', '.join(_TOKENIZERS)}")
        given["tokenizer"] = _TOKENIZERS[given["tokenizer"]]
    return kind.params(**given)


def show(schema: dict[str, edge.PayloadIndexInfo]) -> Json:
    """`payload_schema` of a collection's description."""
    return {field: _show_one(info) for field, info in sorted(schema.items())}


def _show_one(info: edge.PayloadIndexInfo) -> Json:
    name, kind = next((name, kind) for name, kind in _KINDS.items() if kind.plain == info.data_type)
    answer: Json = {"data_type": name}
    if info.params is not None:
        values = {field: getattr(info.params, field) for field in kind.fields}
        values["tokenizer"] = _tokenizer_name(values.get("tokenizer"))
        answer["params"] = {"type": name, **{field: value for field, value in values.items() if value is not None}}
    return {**answer, "points": info.points}


def _tokenizer_name(value: Any) -> str | None:
    return next((name for name, tokenizer in _TOKENIZERS.items() if tokenizer == value), None)
