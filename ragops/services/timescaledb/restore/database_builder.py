"""Builds a database from a recovery point, away from the one that serves: made, filled, compared, finished."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from ragops.adapters.postgres import fetch_column
from ragops.errors import RagopsError
from ragops.services.contract import NotRestored
from ragops.services.timescaledb import extension, roles
from ragops.services.timescaledb.backup import counts, dump_warnings, server_globals
from ragops.services.timescaledb.restore import database_properties, null_blocks, pg_restore, swap
from ragops.services.timescaledb.restore import roles as restore_roles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ragops.adapters.postgres import Connection
    from ragops.services.contract import Endpoint, Part
    from ragops.services.timescaledb.backup.server_globals import Globals
    from ragops.services.timescaledb.restore.pg_restore import RestoreJob

_SKIPPING_KEY = "chunk_column_stats_chunk_id_fkey"


def dump_of(parts: Sequence[Part]) -> Part:
    """Return the dump among the parts."""
    (found,) = [part for part in parts if part.name != server_globals.PART]
    return found


def globals_of(folder: Path, parts: Sequence[Part]) -> Globals | None:
    """Return the properties of server and database; none in recovery points of older versions."""
    named = [part for part in parts if part.name == server_globals.PART]
    return server_globals.parse(folder / named[0].name) if named else None


def make_roles(endpoint: Endpoint, wanted: Globals | None) -> tuple[str, ...]:
    """Make the roles that are missing; returns notes on them, and on roles that differ."""
    if wanted is None:
        return ()
    ours = {login.user for login in endpoint.logins.values()}
    with roles.session(endpoint, roles.MAINTENANCE, subject="the roles") as connection:
        return restore_roles.make(connection, wanted, ours).notes()


@contextmanager
def new_database(endpoint: Endpoint, wanted: Globals | None) -> Iterator[str]:
    """Create an empty database, dropped if the block fails; databases of killed restores are dropped first."""
    database = endpoint.options["database"]
    fresh = swap.make_name(database, swap.FILLED)
    try:
        with roles.session(endpoint, roles.MAINTENANCE, subject=f"database {fresh}", limit=0) as connection:
            for left in swap.find_named(connection, database, swap.FILLED):
                swap.drop(connection, endpoint, left)
            _make(connection, endpoint, fresh, wanted)
        yield fresh
    except BaseException:
        drop(endpoint, fresh)
        raise


def drop(endpoint: Endpoint, database: str) -> None:
    """Drop a scratch database, if the server lets us."""
    with suppress(RagopsError), roles.session(endpoint, roles.MAINTENANCE, limit=0) as connection:
        swap.drop(connection, endpoint, database)


def _make(connection: Connection, endpoint: Endpoint, fresh: str, wanted: Globals | None) -> None:
    database_properties.create(connection, fresh, wanted.database if wanted else None)
    roles.grant_connect(connection, fresh, endpoint)
    if wanted:
        _take_away(endpoint, fresh, wanted)


def _take_away(endpoint: Endpoint, fresh: str, wanted: Globals) -> None:
    """Remove what every new database has and the dumped one did not have."""
    with roles.session(endpoint, fresh) as connection:
        if "plpgsql" not in wanted.extensions:
            connection.execute("DROP EXTENSION IF EXISTS plpgsql")
        if "public" not in wanted.schemas:
            connection.execute("DROP SCHEMA IF EXISTS public")


# --- filled ----------------------------------------------------------------------------------------------------------


def fill(job: RestoreJob) -> tuple[str, ...]:
    """Fill and compare; returns notes on what differs.

    What pg_restore cannot do in one go is done in stages, at once if the recovery point asks for it, else in a second
    attempt. Raises IntegrityError (counts_differ), RagopsError.
    """
    notes = _put_settings(job)
    staged = bool(job.wanted and (job.wanted.staged or _has_pinned(job)))
    try:
        return (*notes, *_attempt(job, staged=staged, thorough=False))
    except RagopsError as error:
        if not pg_restore.may_help(error):
            raise
        thorough = staged or not null_blocks.is_cause(error)
    again(job)
    return (*notes, *_attempt(job, staged=True, thorough=thorough))


def again(job: RestoreJob) -> None:
    """Begin with an empty database once more."""
    with roles.session(job.endpoint, roles.MAINTENANCE, subject="the database", limit=0) as connection:
        swap.drop(connection, job.endpoint, job.database)
        _make(connection, job.endpoint, job.database, job.wanted)
    _put_settings(job)


def _has_pinned(job: RestoreJob) -> bool:
    with roles.session(job.endpoint, roles.MAINTENANCE, subject="the database") as connection:
        return bool(pg_restore.pinned_extensions(connection, job.wanted))


def _put_settings(job: RestoreJob) -> list[str]:
    """Before it is filled: checks and generated columns may ask for them."""
    if job.wanted is None:
        return []
    with roles.session(job.endpoint, roles.MAINTENANCE, subject="the database") as connection:
        return database_properties.put_settings(connection, job.database, job.wanted.database)


def _attempt(job: RestoreJob, *, staged: bool, thorough: bool) -> list[str]:
    stages = pg_restore.Stages(job, thorough=thorough)
    with timescale_restoring(job):
        if staged:
            stages.run()
        else:
            job.restore()
        detach(job)
        # Counted before TimescaleDB's jobs may run: retention would remove what is older than its time.
        return [*stages.notes, *_examine(job, analyze=not staged, lenient=thorough)]


def detach(job: RestoreJob) -> None:
    """Detach partitions that were half detached: a dump attaches them again."""
    if job.wanted and job.wanted.detaching:
        with job.connected() as connection:
            for parent, child in job.wanted.detaching:
                statement = f"ALTER TABLE {parent} DETACH PARTITION {child}"
                with suppress(psycopg.errors.UndefinedTable):
                    connection.execute(sql.SQL(statement))


def _examine(job: RestoreJob, *, analyze: bool, lenient: bool) -> list[str]:
    """Compare every count; gather statistics at once, for a dump has none, and without the first queries are slow."""
    with ThreadPoolExecutor(1) as pool:
        analyzed = pool.submit(pg_restore.analyze, job) if analyze else None
        with job.connected() as connection:
            extension.look_through_restoring(connection)
            found = counts.counts(connection)
            notes = counts.compare(job.part.counts, found, lenient=lenient or job.wanted is None)
            if job.wanted:
                notes = [NotRestored(note) for note in notes]
            else:
                notes = [f"{note}: invalid ones are in no dump" for note in notes]  # older versions counted them
        return [*notes, *(analyzed.result() if analyzed else ())]


@contextmanager
def timescale_restoring(job: RestoreJob) -> Iterator[None]:
    """TimescaleDB's own restoring mode, ended whatever happens; nothing to do for a dump without it."""
    if pg_restore.TIMESCALE not in job.part.versions:
        yield
        return
    with roles.session(job.endpoint, job.database, subject="TimescaleDB", limit=0) as connection:
        statement = sql.SQL("CREATE EXTENSION timescaledb VERSION {}")
        connection.execute(statement.format(sql.Literal(job.part.versions[pg_restore.TIMESCALE])))
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
    with roles.session(endpoint, roles.MAINTENANCE, subject=f"database {fresh}") as connection:
        database_properties.put_rest(connection, fresh, wanted.database)
        roles.grant_logins(connection, fresh, endpoint)


def quiet_subscriptions(endpoint: Endpoint, kept: str) -> list[str]:
    """Disable those of a database that is kept: they would still write into it, and hold their slots."""
    with roles.session(endpoint, kept) as connection:
        query = (
            "SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
            " WHERE d.datname = current_database() AND subenabled"
        )
        names = fetch_column(connection, query)
        for name in names:
            connection.execute(sql.SQL("ALTER SUBSCRIPTION {} DISABLE").format(sql.Identifier(name)))
    return [f"disabled in {kept}: subscription {name}" for name in names]


def left_out(endpoint: Endpoint, wanted: Globals | None) -> tuple[str, ...]:
    """Return notes on what the server had when the recovery point was taken, and is not in it."""
    if wanted is None:
        return ()
    with roles.session(endpoint, subject="the database") as connection:
        query = "SELECT name FROM pg_file_settings WHERE sourcefile ~ '/postgresql.auto.conf$'"
        settings = fetch_column(connection, query)
        databases = fetch_column(connection, "SELECT datname FROM pg_database")
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
        notes.append(f"make these logical replication slots again: {', '.join(wanted.slots)}")
    return tuple(notes)
