"""A schema `rag` that ragops did not make: whose it is, and the ways out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.postgres import translate_errors
from ragops.errors import MissingError, RagopsError
from ragops.units import first_of

if TYPE_CHECKING:
    from ragops.adapters.postgres import Connection

FOREIGN_HINT = (
    "rename it (`ALTER SCHEMA rag RENAME TO rag_before`) and run `ragops migrate up`, or use another database: "
    "set `timescaledb.database` in ragops.yaml and run `ragops up`"
)
_LOST_HINT = "run `ragops restore latest --service timescaledb`"
_COMMENT = "Metadata of the RAG platform; made and changed by ragops migrate up"  # of the first migration
_SHOWN = 5

_QUERY = """
SELECT pg_get_userbyid(schema.nspowner),
       coalesce(obj_description(schema.oid, 'pg_namespace'), ''),
       EXISTS (SELECT FROM pg_attribute
               WHERE attrelid = to_regclass('rag.schema_migrations') AND attname = 'checksum' AND NOT attisdropped),
       ARRAY(SELECT relname::text FROM pg_class
             WHERE relnamespace = schema.oid AND relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT relispartition ORDER BY 1)
FROM pg_namespace AS schema WHERE schema.nspname = 'rag'
"""


def foreign_schema(connection: Connection) -> tuple[str, str]:
    """Return what a schema `rag` without ragops' record of migrations is, and the hint; empty if there is none.

    Raises RagopsError as `translate_errors` says.
    """
    with translate_errors():
        row = connection.execute(_QUERY).fetchone()
    if row is None:
        return "", ""
    owner, comment, is_recorded, tables = row
    if is_recorded:
        return "", ""
    if comment == _COMMENT:
        return "the schema rag has lost its record of migrations (rag.schema_migrations)", _LOST_HINT
    holds = f"holds {first_of(tables, _SHOWN)}" if tables else "is empty"
    return f"the schema rag is not from ragops: it belongs to the role {owner} and {holds}", FOREIGN_HINT


def missing_schema(connection: Connection) -> MissingError:
    """Return the error of a database without the schema. Raises RagopsError (schema_foreign) for one of others."""
    refuse_foreign_schema(connection)
    return MissingError("schema_missing", "the database has no rag schema yet", "run `ragops migrate up`")


def refuse_foreign_schema(connection: Connection) -> None:
    """Raise RagopsError (schema_foreign) if there is a schema `rag` that ragops did not make."""
    found, hint = foreign_schema(connection)
    if found:
        raise RagopsError("schema_foreign", f"cannot migrate the database: {found}", hint)
