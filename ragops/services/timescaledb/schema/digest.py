"""The SHA-256 of a database's catalogue: the same for the same schema, whatever the rows, owners and chunks are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.postgres import fetch_value
from ragops.services.timescaledb.roles import session

if TYPE_CHECKING:
    from ragops.services.contract import Endpoint

_SECONDS = 30.0
# Without partitions and TimescaleDB's chunks, which come and go with time and have the shape of their parents.
_OURS = """
    n.nspname <> 'information_schema' AND n.nspname !~ '^(pg_|_timescaledb_)' AND NOT c.relispartition
    AND c.relpersistence <> 't' AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""
_DIGEST = f"""
WITH c AS (
    SELECT c.oid, c.relkind, n.nspname || '.' || c.relname AS name FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_OURS}
), line AS (
    SELECT concat_ws(' ', 'relation', name, relkind,
                     CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END) AS text FROM c
    UNION ALL
    SELECT concat_ws(' ', 'column', name, attname, format_type(atttypid, atttypmod), attnotnull, attgenerated,
                     attidentity, pg_get_expr(adbin, adrelid))
    FROM c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
    UNION ALL
    SELECT concat_ws(' ', 'constraint', name, conname, pg_get_constraintdef(k.oid))
    FROM c JOIN pg_constraint k ON k.conrelid = c.oid WHERE k.contype <> 'n'
    UNION ALL
    SELECT concat_ws(' ', 'index', name, pg_get_indexdef(i.indexrelid)) FROM c JOIN pg_index i ON i.indrelid = c.oid
    UNION ALL
    SELECT concat_ws(' ', 'trigger', name, pg_get_triggerdef(t.oid))
    FROM c JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT concat_ws(' ', 'policy', name, polname, polcmd, pg_get_expr(polqual, polrelid),
                     pg_get_expr(polwithcheck, polrelid))
    FROM c JOIN pg_policy p ON p.polrelid = c.oid
    UNION ALL
    SELECT concat_ws(' ', 'function', pg_get_functiondef(p.oid)) FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^(pg_|_timescaledb_)' AND p.prokind IN ('f', 'p')
    AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    UNION ALL
    SELECT concat_ws(' ', 'extension', extname, extversion) FROM pg_extension
)
SELECT encode(sha256(convert_to(coalesce(string_agg(text, E'\\n' ORDER BY text COLLATE "C"), ''), 'UTF8')), 'hex')
FROM line
"""  # noqa: S608  both parts are constants


def schema_digest(endpoint: Endpoint) -> str:
    """Return the digest, hexadecimal. Raises RagopsError if the database cannot be asked."""
    subject = "the database's catalogue"
    with session(endpoint, subject=subject, timeout=_SECONDS, limit=_SECONDS) as connection, connection.transaction():
        connection.execute("SET LOCAL search_path = pg_catalog")  # or names are written with and without schema
        return str(fetch_value(connection, _DIGEST) or "")
