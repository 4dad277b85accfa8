"""What a database is: the edition of TimescaleDB behind it, and a schema `rag` that ragops did not make."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import psycopg

from ragops.adapters.postgres import fetch_value, translate_errors
from ragops.errors import MissingError, RagopsError
from ragops.units import first_of

if TYPE_CHECKING:
    from ragops.adapters.postgres import Connection

# "ragops" in ASCII: one number for all that change the schema of a database.
LOCK_KEY = int.from_bytes(b"ragops", "big")


class Edition(StrEnum):
    """What a server can do with data that grows by time."""

    COMMUNITY = "community"
    APACHE = "apache"
    POSTGRESQL = "postgresql"


def detect(connection: Connection) -> Edition:
    """Return the edition that the server supports, whether the extension is in this database yet or not.

    Raises RagopsError as `translate_errors` does.
    """
    with translate_errors():
        row = connection.execute(
            "SELECT current_setting('timescaledb.disable_load', true) IS NOT NULL,"
            " EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb'),"
            " EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')"
        ).fetchone()
        loaded, available, installed = row or (False, False, False)
        if not installed and not (loaded and available):
            return Edition.POSTGRESQL
        return _edition_of(_license(connection) or _license_by_trial(connection))


def _license_by_trial(connection: Connection) -> str:
    # The setting has no value until the extension's own library is loaded, and making the extension loads it; a session
    # of its own, because one that has loaded the library cannot make the extension any more.
    with psycopg.connect(connection.info.dsn, password=connection.info.password) as trial:
        trial.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])  # another run may be making it for good
        trial.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        found = _license(trial)
        trial.rollback()
    return found


def _license(connection: Connection) -> str:
    return fetch_value(connection, "SELECT current_setting('timescaledb.license', true)") or ""


def _edition_of(license_name: str) -> Edition:
    return Edition.COMMUNITY if license_name == "timescale" else Edition.APACHE


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

    Raises RagopsError as `translate_errors`.
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
    return MissingError(
        "schema_missing", "cannot use the database: it has no rag schema yet", "run `ragops migrate up`"
    )


def refuse_foreign_schema(connection: Connection) -> None:
    """Raise RagopsError (schema_foreign) if there is a schema `rag` that ragops did not make."""
    found, hint = foreign_schema(connection)
    if found:
        raise RagopsError("schema_foreign", f"cannot migrate the database: {found}", hint)
