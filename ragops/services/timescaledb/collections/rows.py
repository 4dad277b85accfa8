"""Rows of rag.collections, one at a time: what `ragops collection` shows, makes, changes and removes."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import sql
from psycopg.types.json import Jsonb

from ragops.adapters.postgres import translate_errors
from ragops.config import collection_names
from ragops.embedding.null_embedder import BM25_NAME
from ragops.errors import InvalidInputError, Problem, UsageError
from ragops.services.timescaledb.collections.file_columns import BUILT_IN, KNOWN
from ragops.services.timescaledb.collections.file_keys import EXTRA_KEYS
from ragops.services.timescaledb.collections.json_reader import found

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ragops.adapters.postgres import Connection
    from ragops.services.timescaledb.collections.file_columns import Field
    from ragops.services.timescaledb.collections.file_keys import ExtraKey

_SUBJECT = "the collections"
_PAGE = 1000
_NAMED = 10
# Some of a collection's documents, with their chunks; by its name, and how many.
DELETE_PAGE: LiteralString = (
    "DELETE FROM rag.documents WHERE id = ANY(ARRAY(SELECT id FROM rag.documents"
    " WHERE collection_id = (SELECT id FROM rag.collections WHERE name = %s) ORDER BY id LIMIT %s)) RETURNING id"
)
_ROWS: LiteralString = f"""
SELECT c.name, c.directory, c.embedding_model, c.chunk_size, c.chunk_overlap, c.file_types, c.recursive, c.enabled,
       c.source, c.extra, coalesce(f.defaults, '{{}}'), d.indexed, d.failed, d.pending,
       (SELECT max(indexed_at) FROM rag.documents WHERE collection_id = c.id AND status = 'indexed'),
       (SELECT details->'way'->>'embedder' FROM rag.ingestion_jobs
        WHERE collection_id = c.id AND details ? 'way' ORDER BY started_at DESC LIMIT 1)
FROM rag.collections c LEFT JOIN rag.collection_defaults f ON c.source = 'json' CROSS JOIN LATERAL (
    SELECT coalesce(sum(documents) FILTER (WHERE status = 'indexed'), 0)::bigint AS indexed,
           coalesce(sum(documents) FILTER (WHERE status = 'failed'), 0)::bigint AS failed,
           coalesce(sum(documents) FILTER (WHERE status = 'pending'), 0)::bigint AS pending
    FROM rag.document_counts WHERE collection_id = c.id) AS d
WHERE {collection_names.USERS_OWN} AND (%(names)s::text[] IS NULL OR c.name = ANY(%(names)s))
ORDER BY c.name
"""  # noqa: S608  a constant


@dataclass(frozen=True)
class CollectionRow:
    """A collection with counts of its documents; `source` is json or database.

    `extra` has its keys without a column of their own, `defaults` those of the document that it came from. `embedder`
    made its vectors, None before its first ingest.
    """

    name: str
    directory: str
    embedding_model: str
    chunk_size: int
    chunk_overlap: int
    file_types: Sequence[str]
    recursive: bool
    enabled: bool
    source: str
    extra: Mapping[str, Any]
    defaults: Mapping[str, Any]
    indexed: int
    failed: int
    pending: int
    indexed_at: datetime | None
    embedder: str | None = None

    @property
    def needs_rebuild(self) -> bool:
        """Whether its vectors are of another model than it has now: they are searched until a rebuild."""
        return bool(self.indexed) and self.embedder not in (None, BM25_NAME, self.embedding_model)

    @property
    def values(self) -> dict[str, Any]:
        """Its own values by key of collections-config.json."""
        return {key: getattr(self, known.column) for key, known in KNOWN.items()} | dict(self.extra)

    @property
    def file_values(self) -> dict[str, Any]:
        """What holds for its files, its own or the document's, by key; None if neither has one."""
        return {key: self.extra.get(key, self.defaults.get(key)) for key in EXTRA_KEYS}


def list_rows(connection: Connection, names: Sequence[str] | None = None) -> list[CollectionRow]:
    """Return the collections by name, only these if `names` are given."""
    with translate_errors(_SUBJECT):
        rows = connection.execute(_ROWS, {"names": None if names is None else list(names)})
        return [CollectionRow(*row) for row in rows]


def count_chunks(connection: Connection, name: str) -> dict[str, int]:
    """Return how many chunks a collection has in each collection of points."""
    with translate_errors(_SUBJECT):
        rows = connection.execute(
            "SELECT k.point_collection, count(*) FROM rag.chunks k JOIN rag.documents d ON d.id = k.document_id"
            " WHERE d.collection_id = (SELECT id FROM rag.collections WHERE name = %s) GROUP BY 1 ORDER BY 1",
            [name],
        )
        return dict(rows.fetchall())


def insert(connection: Connection, name: str, values: Mapping[str, Any], actor: str) -> None:
    """Add a collection of the database; `values` by key of the file, what is missing has the built-in value.

    Raises InvalidInputError (collection_invalid), UsageError (collection_exists).
    """
    wanted = {**BUILT_IN, **values, "name": name}
    _check(wanted, values)
    with translate_errors(_SUBJECT), connection.transaction():
        _set_actor(connection, actor)
        connection.execute("LOCK TABLE rag.collections IN SHARE ROW EXCLUSIVE MODE")
        taken = connection.execute("SELECT name FROM rag.collections WHERE lower(name) = lower(%s)", [name]).fetchone()
        if taken:
            case = "" if taken[0] == name else f"; {name} differs from it in case alone"
            what = f"cannot create collection {name}: there is a collection {taken[0]}{case}"
            raise UsageError(
                "collection_exists", what, "choose another name, or change it: `ragops collection set --help`"
            )
        _add_model(connection, wanted["embeddingModel"])
        columns = {KNOWN[key].column: value for key, value in wanted.items() if key in KNOWN}
        columns["extra"] = Jsonb({key: value for key, value in wanted.items() if key in EXTRA_KEYS})
        statement = sql.SQL("INSERT INTO rag.collections (source, {}) VALUES ('database', {})").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), sql.SQL(", ").join([sql.Placeholder()] * len(columns))
        )
        connection.execute(statement, list(columns.values()))


def update(connection: Connection, row: CollectionRow, values: Mapping[str, Any], actor: str) -> None:
    """Change values of a collection, by key of the file; None takes a key out that has no column.

    Raises InvalidInputError (collection_invalid).
    """
    _check({**row.values, **values}, values)
    extra = {key: value for key, value in values.items() if key in EXTRA_KEYS}
    columns = {KNOWN[key].column: value for key, value in values.items() if key in KNOWN}
    changes = [sql.SQL("{} = {}").format(sql.Identifier(column), sql.Placeholder()) for column in columns]
    parameters = list(columns.values())
    if extra:
        changes.append(sql.SQL("extra = (extra - {}::text[]) || {}").format(sql.Placeholder(), sql.Placeholder()))
        kept = {key: value for key, value in extra.items() if value is not None}
        parameters += [list(extra), Jsonb(kept)]
    with translate_errors(_SUBJECT), connection.transaction():
        _set_actor(connection, actor)
        if "embeddingModel" in values:
            _add_model(connection, values["embeddingModel"])
        statement = sql.SQL("UPDATE rag.collections SET {} WHERE name = {}")
        connection.execute(statement.format(sql.SQL(", ").join(changes), sql.Placeholder()), [*parameters, row.name])


def delete(connection: Connection, name: str, actor: str) -> int:
    """Remove a collection with its documents and chunks, page by page; return the number of documents."""
    documents = 0
    with translate_errors(_SUBJECT):
        while True:
            with connection.transaction():
                _set_actor(connection, actor)
                removed = connection.execute(DELETE_PAGE, [name, _PAGE]).rowcount
                documents += removed
                if removed == 0:
                    connection.execute("DELETE FROM rag.collections WHERE name = %s", [name])
                    return documents


def _check(values: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Check all `values` that have a column, and of the others those that are `given`."""
    extra = [known for key, known in EXTRA_KEYS.items() if given.get(key) is not None]
    checks: list[Field | ExtraKey] = [*KNOWN.values(), *extra]
    problems = [
        Problem("", check.key, f"expected {check.expected}, found {found(values[check.key])}")
        for check in checks
        if not check.accepts(values[check.key])
    ]
    if not problems and values["chunkOverlap"] >= values["chunkSize"]:
        what = f"expected less than chunkSize, which is {values['chunkSize']}, found {values['chunkOverlap']}"
        problems.append(Problem("", "chunkOverlap", what))
    if problems:
        raise InvalidInputError("collection_invalid", "cannot take these values of a collection", problems)


def _add_model(connection: Connection, name: str) -> None:
    connection.execute("INSERT INTO rag.embedding_models (name) VALUES (%s) ON CONFLICT (name) DO NOTHING", [name])


def _set_actor(connection: Connection, actor: str) -> None:
    connection.execute("SELECT set_config('ragops.actor', %s, true)", [actor])


def unknown_collection(wanted: Sequence[str], known: Sequence[str]) -> UsageError:
    """Return the error of collections that are not among those `known`, with the nearest names or what there is."""
    near = [match for name in wanted for match in difflib.get_close_matches(name, known, n=3)]
    if near:
        hint = f"did you mean {' or '.join(dict.fromkeys(near))}?"
    elif known:
        hint = f"there are {', '.join(known[:_NAMED])}{', …' if len(known) > _NAMED else ''}"
    else:
        hint = f"make it: `ragops collection create {wanted[0]} DIRECTORY`"
    return UsageError("unknown_collection", f"cannot find collection {', '.join(wanted)}: there is none", hint)


def require_usable(name: str) -> None:
    """Raise UsageError (collection_name_unusable) for a name that no collection may have."""
    if not collection_names.is_usable(name):
        what = f"cannot call a collection {name!r}"
        raise UsageError("collection_name_unusable", what, f"choose {collection_names.RULE}")
