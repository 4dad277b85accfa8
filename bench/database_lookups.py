"""What of the database is measured: every statement of the code with values to send, or the reason why it is left out."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from database_fill import Filled

    Values = Callable[[Filled, random.Random], Any]

Kind = Literal["lookup", "batch", "whole"]
# lookup: some rows by a key, while somebody waits; the bar holds for these.
# batch: a bounded number of rows of an ingest. whole: all of a collection, or all collections, once for each command.


@dataclass(frozen=True)
class Lookup:
    """A statement to measure; `text` is in place of one that is composed in the code, `rows` are for a COPY."""

    kind: Kind
    values: Values
    text: str = ""
    copies: bool = False


def _nothing(_filled: Filled, _rng: random.Random) -> list[object]:
    return []


def _name(filled: Filled, rng: random.Random) -> list[object]:
    return [filled.collection(rng)]


def _id(filled: Filled, rng: random.Random) -> list[object]:
    return [filled.collection_id(rng)]


def _documents(count: int) -> Values:
    return lambda filled, rng: [[filled.document(rng) for _ in range(count)]]


def _file(rng: random.Random) -> list[object]:
    return [f"new/{rng.random()}.md", f"{rng.getrandbits(256):064x}", 9000, datetime.now(tz=UTC)]


def _files(rng: random.Random) -> list[list[object]]:
    return [list(column) for column in zip(*(_file(rng) for _ in range(64)), strict=True)]


def _indexed(filled: Filled, rng: random.Random) -> list[object]:
    columns = _files(rng)
    return [datetime.now(tz=UTC), sorted({filled.document(rng) for _ in columns[0]}), *columns]


def _log_row(filled: Filled, rng: random.Random) -> list[object]:
    return [
        uuid.uuid4(), datetime.now(tz=UTC), filled.collection(rng), "how do I restore", f"{rng.getrandbits(256):064x}",
        "static-multilingual-256-v1", "consumer-1", f"{rng.getrandbits(128):032x}", "ok", 5, 0.8, 4.2,
    ]  # fmt: skip


def _chunk_rows(filled: Filled, rng: random.Random) -> list[object]:
    document = filled.document(rng)
    return [
        (uuid.UUID(int=rng.getrandbits(128)), document, 100_000 + place, "word " * 160, f"{rng.getrandbits(256):064x}", "collection-0")
        for place in range(256)
    ]  # fmt: skip


def _job(rng: random.Random) -> list[object]:
    return [Jsonb({"way": {"collection": "c"}}), uuid.UUID(int=rng.getrandbits(128)), datetime.now(tz=UTC)]


_STORE = "ingest.document_store:DocumentStore"
_JOBS = "ingest.jobs:JobStore"
_ROWS = "services.timescaledb.collections.rows"

LOOKUPS: dict[str, Lookup] = {
    "api.catalogue:_NAMES": Lookup("lookup", lambda _filled, _rng: [101]),
    "api.catalogue:_PAGE": Lookup("lookup", lambda _filled, _rng: ["", 101]),
    "api.embedders:_MADE_WITH": Lookup("lookup", _name),
    "api.querylog:_COPY": Lookup("batch", lambda filled, rng: [_log_row(filled, rng) for _ in range(500)], copies=True),
    "api.querylog:_INSERT": Lookup("lookup", _log_row),
    "api.stores:Database.ready": Lookup("lookup", _nothing),
    f"{_STORE}.collections": Lookup("whole", _nothing),
    f"{_STORE}.copy_collection": Lookup("lookup", lambda filled, rng: ["new", "points", *_id(filled, rng)]),
    f"{_STORE}.generations": Lookup("lookup", lambda filled, rng: [f"{filled.collection(rng)}@"]),
    f"{_STORE}.documents": Lookup("whole", _id),
    f"{_STORE}.add_pending": Lookup("batch", lambda filled, rng: [*_id(filled, rng), *_files(rng)]),
    f"{_STORE}.set_pending": Lookup("batch", _documents(64)),
    f"{_STORE}.move": Lookup("lookup", lambda filled, rng: [f"moved/{rng.random()}", filled.document(rng)]),
    f"{_STORE}.set_indexed": Lookup("batch", _indexed),
    f"{_STORE}.note_refusals": Lookup("lookup", lambda filled, rng: [[filled.document(rng)], ["a reason"]]),
    f"{_STORE}.touch": Lookup("lookup", lambda filled, rng: [datetime.now(tz=UTC), filled.document(rng)]),
    f"{_STORE}.set_failed": Lookup("lookup", lambda filled, rng: [*_id(filled, rng), *_file(rng), "no text"]),
    f"{_STORE}.delete_documents": Lookup("lookup", _documents(1)),
    f"{_STORE}.add_chunks": Lookup("batch", _chunk_rows, copies=True),
    f"{_STORE}.drop_chunks": Lookup("lookup", _documents(1)),
    f"{_STORE}.chunk_page": Lookup("batch", lambda filled, rng: [*_documents(64)(filled, rng), 1000]),
    f"{_STORE}.delete_chunks": Lookup("lookup", lambda filled, rng: [[filled.chunk(rng) for _ in range(10)]]),
    f"{_STORE}.unknown_points": Lookup(
        "batch", lambda filled, rng: ["collection-0", [filled.chunk(rng) for _ in range(1000)]]
    ),
    f"{_STORE}.count_chunks": Lookup("whole", lambda filled, rng: [*_id(filled, rng), filled.collection(rng)]),
    f"{_STORE}.chunk_pages": Lookup(
        "batch", lambda filled, rng: [filled.first_collection, *[filled.document(rng)] * 2, 3, 1000]
    ),
    f"{_JOBS}.end_interrupted": Lookup("lookup", _id),
    f"{_JOBS}.begin_job": Lookup("lookup", lambda filled, rng: [*_id(filled, rng), "collection-0", "bench"]),
    f"{_JOBS}.chunking_params": Lookup("lookup", _id),
    f"{_JOBS}.newest_detail": Lookup("lookup", lambda filled, rng: ["way", *_id(filled, rng), "way"]),
    f"{_JOBS}.count_jobs_without": Lookup("lookup", lambda filled, rng: [*_id(filled, rng), "reshard"]),
    f"{_JOBS}.store_detail": Lookup("lookup", lambda _filled, rng: _job(rng)),
    f"{_JOBS}.store_chunking_params 2": Lookup("lookup", lambda _filled, rng: _job(rng)),
    f"{_JOBS}.end_job": Lookup("lookup", lambda _filled, rng: ["done", 1, 1, 0, 0, 9, None, Jsonb({}), *_job(rng)[1:]]),
    "services.timescaledb.query_log:_AGE": Lookup("whole", _nothing),
    "services.timescaledb.collections.made_with:_MADE": Lookup("whole", _nothing),
    "services.timescaledb.collections.made_with:_COUNTS": Lookup(
        "whole", lambda filled, rng: [[filled.collection(rng)]]
    ),
    f"{_ROWS}:DELETE_PAGE": Lookup("batch", lambda filled, rng: [filled.collection(rng), 1000]),
    f"{_ROWS}:_ROWS": Lookup("lookup", lambda filled, rng: {"names": [filled.collection(rng)]}),
    f"{_ROWS}:count_chunks": Lookup("whole", _name),
    f"{_ROWS}:insert 2": Lookup("lookup", _name),
    f"{_ROWS}:insert 3": Lookup(
        "lookup",
        lambda _filled, rng: [f"new-{rng.random()}"],
        text="INSERT INTO rag.collections (source, name, directory, embedding_model, chunk_size, chunk_overlap, file_types)"
        " VALUES ('database', %s, '/srv', 'static-multilingual-256-v1', 800, 100, '{md}')",
    ),
    f"{_ROWS}:update": Lookup(
        "lookup",
        lambda filled, rng: [900, filled.collection(rng)],
        text="UPDATE rag.collections SET chunk_size = %s WHERE name = %s",
    ),
    f"{_ROWS}:_add_model": Lookup("lookup", lambda _filled, _rng: ["static-multilingual-256-v1"]),
}

_REBUILD = "moves all documents of a collection, once for each rebuild"
_EMPTY = "deletes a collection without documents, which no lookup waits for"
_IMPORT = "compares or writes the whole file of collections: make bench-import"
_CHECK = "reads a whole table, once for each restore or drill"
_SCHEMA = "reads or writes the catalog or the record of migrations, not what grows"

# Statements that are not measured, each with its reason.
EXCLUDED: dict[str, str] = {
    f"{_STORE}.switch": _REBUILD,
    f"{_STORE}.switch 2": _REBUILD,
    f"{_STORE}.switch 3": _EMPTY,
    f"{_STORE}.switch_points": "moves all chunks of a collection, once for each reshard",
    f"{_STORE}.drop_generation": _EMPTY,
    f"{_JOBS}.store_chunking_params": "makes all documents of a collection pending, if chunks are cut in another way",
    f"{_ROWS}:delete": _EMPTY,
    f"{_ROWS}:insert": "locks a table",
    "services.timescaledb.backup.sampling:_COUNTS": _CHECK,
    "services.timescaledb.backup.sampling:_OF_INDEXED": _CHECK,
    "services.timescaledb.backup.sampling:point_collections": _CHECK,
    "services.timescaledb.backup.sampling:_has_chunks": _SCHEMA,
    "services.timescaledb.collections.json_export:_lines": "reads the one row of the file of collections",
    "services.timescaledb.collections.json_export:_collections": "writes the whole file of collections",
    "services.timescaledb.collections.json_import:import_collections": "locks tables",
    "services.timescaledb.collections.json_import:_require_schema": _SCHEMA,
    "services.timescaledb.collections.json_import:_refuse_conflicts": _IMPORT,
    "services.timescaledb.collections.json_import:_compare": _IMPORT,
    "services.timescaledb.collections.json_import:_compare 2": _IMPORT,
    "services.timescaledb.collections.json_import:_compare 3": _IMPORT,
    "services.timescaledb.collections.json_import:_compare 4": _IMPORT,
    "services.timescaledb.collections.json_import:_changes": _IMPORT,
    "services.timescaledb.collections.json_import:_write": _IMPORT,
    "services.timescaledb.collections.json_import:_write 2": _IMPORT,
    "services.timescaledb.collections.json_import:_write 3": _IMPORT,
    "services.timescaledb.collections.json_import:_audit": _IMPORT,
    "services.timescaledb.collections.made_with:made_with": _SCHEMA,
    "services.timescaledb.schema.detection:_QUERY": _SCHEMA,
    "services.timescaledb.schema.maintenance:_kind": _SCHEMA,
    "services.timescaledb.schema.maintenance:_make_partitions": "makes partitions: measured with the retention",
    "services.timescaledb.schema.maintenance:_drop_old": "drops old parts: measured with the retention",
    "services.timescaledb.schema.maintenance:_OLD_PARTITIONS": _SCHEMA,
    "services.timescaledb.schema.migrations:_read_recorded": _SCHEMA,
    "services.timescaledb.schema.migrations:_read_recorded 2": _SCHEMA,
    "services.timescaledb.schema.migrations:_run": _SCHEMA,
    "services.timescaledb.schema.migrations:grant_application": _SCHEMA,
}

# What operators ask the log, who have no command for it: a console and Grafana send the like.
OPERATORS: dict[str, Lookup] = {
    "latest queries of a collection": Lookup(
        "lookup", _name, text="SELECT asked_at, query, outcome, duration_ms FROM rag.query_logs WHERE collection = %s ORDER BY asked_at DESC LIMIT 50"
    ),
    "latest failures": Lookup(
        "lookup", _nothing, text="SELECT asked_at, collection, query FROM rag.query_logs WHERE outcome = 'failed' AND asked_at > now() - interval '1 day' ORDER BY asked_at DESC LIMIT 20"
    ),
    "a day of a collection, by hours": Lookup(
        "lookup", _name, text="SELECT bucket, queries, p95_ms FROM rag.query_stats_hourly WHERE collection = %s AND bucket > now() - interval '1 day' ORDER BY bucket"
    ),
    "a week of all collections, by days": Lookup(
        "lookup", _nothing, text="SELECT bucket, sum(queries), max(p95_ms) FROM rag.query_stats_daily WHERE bucket > now() - interval '7 days' GROUP BY 1 ORDER BY 1"
    ),
    "a document by its path": Lookup(
        "lookup",
        lambda filled, rng: [f"area-{(n := rng.randrange(filled.documents)) % 17}/team-{n % 311}/document-{n}.md"],
        text="SELECT id, status, error FROM rag.documents WHERE path = %s",
    ),
    "documents that failed": Lookup(
        "lookup", _id, text="SELECT path, error FROM rag.documents WHERE collection_id = %s AND status = 'failed' ORDER BY path LIMIT 100"
    ),
    "the chunk of a point": Lookup(
        "lookup", lambda filled, rng: [filled.chunk(rng)], text="SELECT c.content, d.path FROM rag.chunks c JOIN rag.documents d ON d.id = c.document_id WHERE c.id = %s"
    ),
    "the chunks of a document": Lookup(
        "lookup", lambda filled, rng: [filled.document(rng)], text="SELECT id, position, content FROM rag.chunks WHERE document_id = %s ORDER BY position"
    ),
    "latest jobs of a collection": Lookup(
        "lookup", _id, text="SELECT started_at, status, chunks_written FROM rag.ingestion_jobs WHERE collection_id = %s ORDER BY started_at DESC LIMIT 20"
    ),
    "what changed in a collection": Lookup(
        "lookup", _id, text="SELECT at, actor, action FROM rag.audit_log WHERE table_name = 'collections' AND row_key = %s::text ORDER BY id DESC LIMIT 20"
    ),
}  # fmt: skip
