"""Writes rag.collections back as collections-config.json: importing the document gives the same rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row

from ragops.adapters.postgres import translate_errors
from ragops.services.timescaledb.collections.file_columns import BUILT_IN, FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ragops.adapters.postgres import Connection

_BATCH = 1000


def export_json(connection: Connection, built_in: Mapping[str, Any] = BUILT_IN) -> str:
    """Return the document of all collections that came from JSON, as text that ends in a newline.

    Values that are those of the document's defaults or of `built_in` are left out. Collections that were made in the
    database stay there. `connection` is an idle autocommit one. Raises
    RagopsError as `translate_errors`.
    """
    return "".join(_lines(connection, built_in))


def _lines(connection: Connection, built_in: Mapping[str, Any]) -> Iterator[str]:
    with translate_errors("export of rag.collections"), connection.transaction():
        row = connection.execute("SELECT defaults, extra FROM rag.collection_defaults").fetchone()
        defaults, extra = row or ({}, {})
        yield '{\n  "collections": ['
        for index, item in enumerate(_collections(connection, {**built_in, **defaults})):
            yield (",\n    " if index else "\n    ") + json.dumps(item, ensure_ascii=False)
        yield "\n  ]"
        for key, value in {"defaults": defaults, **extra}.items():
            yield f",\n  {json.dumps(key, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"
        yield "\n}\n"


def _collections(connection: Connection, fallback: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    with connection.cursor("collections", row_factory=dict_row) as cursor:
        cursor.itersize = _BATCH
        cursor.execute("SELECT * FROM rag.collections WHERE source = 'json' ORDER BY id")
        for row in cursor:
            yield _item(row, fallback)


def _item(row: Mapping[str, Any], fallback: Mapping[str, Any]) -> dict[str, Any]:
    known = {
        field.key: row[field.column]
        for field in FIELDS
        if field.column not in row["defaults_used"] or fallback.get(field.key) != row[field.column]
    }
    return {**known, **row["extra"]}
