"""The columns of a collection, by their keys in collections-config.json: what each accepts, and its text for COPY."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ragops.config import collection_names
from ragops.services.timescaledb.collections.file_keys import FILE_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LARGEST_INTEGER = 2**31 - 1
LONGEST_NAME = 255


class Field(NamedTuple):
    """A known key of a collection; `expected` describes what `accepts` checks, `cell` is the value in COPY text."""

    key: str
    column: str
    expected: str
    accepts: Callable[[Any], bool]
    cell: Callable[[Any], str]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def is_name(value: Any) -> bool:
    """Whether a value can be the name of a model."""
    return isinstance(value, str) and bool(value.strip()) and len(value) <= LONGEST_NAME


def _integer(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= LARGEST_INTEGER


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def escape(text: str) -> str:
    """Return a text as PostgreSQL's COPY reads it (PostgreSQL documentation, COPY, text format)."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _array(texts: list[str]) -> str:
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return escape('{"' + '","'.join(quoted) + '"}') if texts else "{}"


_BOOLEAN = {True: "t", False: "f"}.__getitem__
_NAME = f"a text of 1 to {LONGEST_NAME} characters, not blank"
_WHOLE = f"a whole number from %s to {LARGEST_INTEGER}"
FIELDS = (
    Field("name", "name", collection_names.RULE, collection_names.is_usable, escape),
    Field("directory", "directory", "a text that is not blank", _is_text, escape),
    Field("embeddingModel", "embedding_model", _NAME, is_name, escape),
    Field("chunkSize", "chunk_size", _WHOLE % 1, _integer(1), str),
    Field("chunkOverlap", "chunk_overlap", _WHOLE % 0, _integer(0), str),
    Field("fileTypes", "file_types", "a list of texts that are not blank", _texts, _array),
    Field("recursive", "recursive", "true or false", lambda value: isinstance(value, bool), _BOOLEAN),
    Field("enabled", "enabled", "true or false", lambda value: isinstance(value, bool), _BOOLEAN),
)
KNOWN = {known.key: known for known in FIELDS}
# What holds if neither the collection nor the document's defaults have a value.
BUILT_IN: Mapping[str, Any] = {
    "embeddingModel": "hashing-384-v1",
    "chunkSize": 512,
    "chunkOverlap": 50,
    "fileTypes": list(FILE_TYPES),
    "recursive": True,
    "enabled": True,
}
COLUMNS = ("position", "line", *(known.column for known in FIELDS), "extra", "defaults_used")
