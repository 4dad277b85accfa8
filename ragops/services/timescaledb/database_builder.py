"""Builds a database from a recovery point, away from the one that serves: made, filled, compared, finished."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from ragops.adapters.postgres import translate_errors
from ragops.errors import RagopsError
from ragops.services.contract import NotRestored
from ragops.services.timescaledb import (
    counts,
    database_properties,
    dump_warnings,
    extension,
    null_blocks,
    pg_dump,
    restore_roles,
    roles,
    server_globals,
    swap,
)
from ragops.services.timescaledb import pg_restore as filling

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ragops.adapters.postgres import Connection
    from ragops.services.contract import Endpoint, Part
    from ragops.services.control import Control
    from ragops.services.timescaledb.server_globals import Globals

_SKIPPING_KEY = "chunk_column_stats_chunk_id_fkey"


@dataclass(frozen=True)
class Order:
    """What to fill `database` with; `wanted` is None for recovery points of older versions."""

    endpoint: Endpoint
    control: Control
    database: str
    source: Path
    part: Part
    wanted: Globals | None
    limit: float = pg_dump.LIMIT

    @property
    def filling(self) -> filling.Filling:
        """How the archive gets into it."""
        return filling.Filling(self.endpoint, self.control, self.database, self.source, self.part, self.limit)


def dump_of(parts: Sequence[Part]) -> Part:
    """Return the dump among the parts."""
    (found,) = [part for part in parts if part.name != server_globals.PART]
    return found


def globals_of(folder: Path, parts: Sequence[Part]) -> Globals | None:
    """Return the properties of server and database; none in recovery points of older versions."""
    named = [part for part in parts if part.name == server_globals.PART]
    return server_globals.parse(folder / named[0].name) if named else None


def make_roles(endpoint: Endpoint, wanted: Globals | None) -> tuple[str, ...]:
    """Make the roles that are missing; words on what was made, and on what is other than it was."""
    if wanted is None:
        return ()
    ours = {login.user for login in endpoint.logins.values()}
    with roles.operator(endpoint, roles.MAINTENANCE) as connection, translate_errors("the roles"):
        return restore_roles.make(connection, wanted, ours).notes()


@contextmanager
def new_database(endpoint: Endpoint, wanted: Globals | None) -> Iterator[str]:
    """Create an empty database, dropped if the block fails; databases of killed restores are dropped first."""
    database = endpoint.options["database"]
    fresh = swap.scratch_name(database)
    try:
        with roles.operator(endpoint, roles.MAINTENANCE, limit=0) as connection, translate_errors(f"database {fresh}"):
            for left in swap.scratch_databases(connection, database):
                swap.drop(connection, endpoint, left)
            _make(connection, endpoint, fresh, wanted)
        yield fresh
    except BaseException:
        drop(endpoint, fresh)
        raise


def drop(endpoint: Endpoint, database: str) -> None:
    """Drop a scratch database, if the server lets us."""
    with suppress(RagopsError), roles.operator(endpoint, roles.MAINTENANCE, limit=0) as connection, translate_errors():
        swap.drop(connection, endpoint, database)


def _make(connection: Connection, endpoint: Endpoint, fresh: str, wanted: Globals | None) -> None:
    database_properties.create(connection, fresh, wanted.database if wanted else None)
    roles.grant_connect(connection, fresh, endpoint.logins["application"].user)
    if wanted:
        _take_away(endpoint, fresh, wanted)


def _take_away(endpoint: Endpoint, fresh: str, wanted: Globals) -> None:
    """Remove what every new database has and this one had no longer."""
    with roles.operator(endpoint, fresh) as connection, translate_errors(f"database {fresh}"):
        if "plpgsql" not in wanted.extensions:
            connection.execute("DROP EXTENSION IF EXISTS plpgsql")
        if "public" not in wanted.schemas:
            connection.execute("DROP SCHEMA IF EXISTS public")


# --- filled ----------------------------------------------------------------------------------------------------------


def fill(order: Order) -> tuple[str, ...]:
    """Fill and compare; words on what is other than it was.

    What pg_restore cannot do in one go is done in stages, at once if the recovery point says so, else in a second
    attempt. Raises IntegrityError (counts_differ), RagopsError.
    """
    notes = _put_settings(order)
    staged = bool(order.wanted and (order.wanted.staged or _has_pinned(order)))
    try:
        return (*notes, *_attempt(order, staged=staged, thorough=False))
    except RagopsError as error:
        if not filling.may_help(error):
            raise
        thorough = staged or not null_blocks.is_cause(error)
    again(order)
    return (*notes, *_attempt(order, staged=True, thorough=thorough))


def again(order: Order) -> None:
    """Begin with an empty database once more."""
    with roles.operator(order.endpoint, roles.MAINTENANCE, limit=0) as connection, translate_errors():
        swap.drop(connection, order.endpoint, order.database)
        _make(connection, order.endpoint, order.database, order.wanted)
    _put_settings(order)


def _has_pinned(order: Order) -> bool:
    with roles.operator(order.endpoint, roles.MAINTENANCE) as connection, translate_errors():
        return bool(filling.pinned_extensions(connection, order.wanted))


def _put_settings(order: Order) -> list[str]:
    """Before it is filled: checks and generated columns may ask for them."""
    if order.wanted is None:
        return []
    with roles.operator(order.endpoint, roles.MAINTENANCE) as connection, translate_errors():
        return database_properties.put_settings(connection, order.database, order.wanted.database)


def _attempt(order: Order, *, staged: bool, thorough: bool) -> list[str]:
    stages = filling.Stages(order.filling, order.wanted, thorough=thorough)
    with timescale_restoring(order):
        if staged:
            stages.run()
        else:
            order.filling.restore()
        detach(order)
        # Counted before TimescaleDB's jobs may run: retention would remove what is older than its time.
        return [*stages.notes, *_examine(order, analyze=not staged, lenient=thorough)]


def detach(order: Order) -> None:
    """Detach partitions that were half detached: a dump attaches them again."""
    if order.wanted and order.wanted.detaching:
        with order.filling.connected() as connection:
            for parent, child in order.wanted.detaching:
                statement = f"ALTER TABLE {parent} DETACH PARTITION {child}"
                with suppress(psycopg.errors.UndefinedTable):
                    connection.execute(sql.SQL(statement))


def _examine(order: Order, *, analyze: bool, lenient: bool) -> list[str]:
    """Compare every count; gather statistics at once, for a dump has none, and without the first queries are slow."""
    with ThreadPoolExecutor(1) as pool:
        analyzed = pool.submit(_analyze, order) if analyze else None
        with order.filling.connected() as connection:
            extension.look_through_restoring(connection)
            found = counts.counts(connection)
            notes = counts.compare(order.part.counts, found, lenient=lenient or order.wanted is None)
            if order.wanted:
                notes = [NotRestored(note) for note in notes]
            else:
                notes = [f"{note}: invalid ones are in no dump" for note in notes]  # older versions counted them
        return [*notes, *(analyzed.result() if analyzed else ())]


def _analyze(order: Order) -> list[str]:
    with order.filling.connected() as connection:
        try:
            connection.execute("ANALYZE")
        except psycopg.Error as error:
            if connection.closed:
                raise
            return [f"statistics are not complete: {error.diag.message_primary}"]
    return []


@contextmanager
def timescale_restoring(order: Order) -> Iterator[None]:
    """TimescaleDB's own restoring mode, ended whatever happens; nothing to do for a dump without it."""
    if filling.TIMESCALE not in order.part.versions:
        yield
        return
    with roles.operator(order.endpoint, order.database, limit=0) as connection, translate_errors("TimescaleDB"):
        statement = sql.SQL("CREATE EXTENSION timescaledb VERSION {}")
        connection.execute(statement.format(sql.Literal(order.part.versions[filling.TIMESCALE])))
        connection.execute("SELECT timescaledb_pre_restore()")
        with _skip_checks(connection):
            try:
                yield
            finally:
                connection.execute("SELECT timescaledb_post_restore()")


@contextmanager
def _skip_checks(connection: Connection) -> Iterator[None]:
    """Let old versions have rows of chunk skipping that their own foreign key forbids (timescaledb 8211)."""
    table = "_timescaledb_catalog.chunk_column_stats"
    query = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s AND conrelid = to_regclass(%s)"
    row = connection.execute(query, [_SKIPPING_KEY, table]).fetchone()
    if not row or dump_warnings.timescale_version(connection) >= dump_warnings.RESTORES_SINCE:
        yield
        return
    connection.execute(sql.SQL(f"ALTER TABLE {table} DROP CONSTRAINT {_SKIPPING_KEY}"))
    yield
    connection.execute(sql.SQL(f"ALTER TABLE {table} ADD CONSTRAINT {_SKIPPING_KEY} {row[0]} NOT VALID"))


# --- finished --------------------------------------------------------------------------------------------------------


def finish(endpoint: Endpoint, fresh: str, wanted: Globals | None) -> None:
    """Put on what the database was apart from what is in it: owner, grants, limits, comment."""
    if wanted is None:
        return
    with roles.operator(endpoint, roles.MAINTENANCE) as connection, translate_errors(f"database {fresh}"):
        database_properties.put_rest(connection, fresh, wanted.database)
        user = sql.Identifier(endpoint.logins["application"].user)
        statement = sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}")
        connection.execute(statement.format(sql.Identifier(fresh), user))


def quiet_subscriptions(endpoint: Endpoint, kept: str) -> list[str]:
    """Disable those of a database that is kept: they would still write into it, and hold their slots."""
    with roles.operator(endpoint, kept) as connection, translate_errors(f"database {kept}"):
        query = (
            "SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
            " WHERE d.datname = current_database() AND subenabled"
        )
        names = [name for (name,) in connection.execute(query).fetchall()]
        for name in names:
            connection.execute(sql.SQL("ALTER SUBSCRIPTION {} DISABLE").format(sql.Identifier(name)))
    return [f"disabled in {kept}: subscription {name}" for name in names]


def left_out(endpoint: Endpoint, wanted: Globals | None) -> tuple[str, ...]:
    """Words on what the server had when the recovery point was taken, and is not in it."""
    if wanted is None:
        return ()
    with roles.operator(endpoint, endpoint.options["database"]) as connection, translate_errors():
        query = "SELECT name FROM pg_file_settings WHERE sourcefile ~ '/postgresql.auto.conf$'"
        settings = {name for (name,) in connection.execute(query).fetchall()}
        databases = {name for (name,) in connection.execute("SELECT datname FROM pg_database").fetchall()}
        versions: dict[str, str] = dict(connection.execute("SELECT extname, extversion FROM pg_extension").fetchall())
    notes = [
        f"extension {name} is {versions[name]} here, {version} in the recovery point"
        for name, (version, _) in wanted.extensions.items()
        if versions.get(name, version) != version
    ]
    missing = [
        ("other databases of the server", [name for name in wanted.other_databases if name not in databases]),
        ("settings made with ALTER SYSTEM", [name for name in wanted.server_settings if name not in settings]),
    ]
    notes += [f"not in the recovery point and not here: {what}, {', '.join(names)}" for what, names in missing if names]
    if wanted.subscriptions:
        first = wanted.subscriptions[0]
        notes.append(
            f'subscriptions are disabled: {", ".join(wanted.subscriptions)}; `ALTER SUBSCRIPTION "{first}" ENABLE`'
        )
    if wanted.slots:
        notes.append(f"logical replication slots are to be made again: {', '.join(wanted.slots)}")
    return tuple(notes)
