"""Dump, verify and restore of the metadata database.

A restore fills a database of its own and compares every count there; only then does it take the old one's place, in one
transaction. The old one serves until that instant and is kept under another name.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, LiteralString

from psycopg import IsolationLevel, sql

from ragops.adapters import child
from ragops.adapters.postgres import translated
from ragops.errors import IntegrityError, MissingError, RagopsError, UnhealthyError
from ragops.services.contract import Capability, Extent, Part, Proof
from ragops.services.timescaledb import archive, extension, inventory, roles, swap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ragops.services.contract import Endpoint, Sink
    from ragops.services.control import Control

TIMESCALE = "extension.timescaledb"
_SPACE = 3  # a restored database is some times the size of its dump: indexes
_NO_ANSWER = ("database_unreachable", "database_refused", "database_connection_lost")
_DEAD_DATA = ("service_failed", "data_folder_foreign")


class TimescaleBackup:
    """By pg_dump in one exported snapshot, in which all rows are counted too."""

    def dump(self, endpoint: Endpoint, control: Control, sink: Sink) -> None:
        """Dump and count as of one instant, then read the archive. Raises RagopsError."""

        def dump() -> None:
            part = self._dump(endpoint, control, sink)
            sink.put(part.name, lambda: self._read_back(sink.folder, part, control))

        sink.each([dump])

    def _read_back(self, folder: Path, part: Part, control: Control) -> Part:
        self.verify(folder, part, control)
        return part

    @staticmethod
    def _dump(endpoint: Endpoint, control: Control, sink: Sink) -> Part:
        database = endpoint.options["database"]
        target = sink.folder / f"{database}.dump"
        with roles.operator(endpoint, database, limit=0) as connection, translated(f"database {database}"):
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            connection.execute("SET idle_in_transaction_session_timeout = 0")
            with connection.transaction(), archive.logged_in(endpoint) as environment:
                row = connection.execute("SELECT pg_export_snapshot(), now()").fetchone()
                snapshot, instant = row or ("", None)
                sink.begun()
                arguments = archive.dump_arguments(control.tool("pg_dump"), endpoint, snapshot)
                with child.running(arguments, environment, archive.LIMIT, stdout=target, name="pg_dump"):
                    counts = inventory.counts(connection)
                    versions = inventory.versions(connection, endpoint.engine)
        return Part(target.name, instant, counts, versions)

    def verify(self, folder: Path, part: Part, control: Control) -> None:
        """Read the whole archive with pg_restore and look for every table that was counted."""
        archive.check(folder / part.name, part.counts, control)

    def prove(
        self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part], budget: float = 0.0
    ) -> Proof:
        """Restore into a scratch database and compare."""
        del endpoint, budget
        for part in parts:
            self.verify(folder, part, control)
        return Proof(Extent.READ, "the archive was read as a whole, and not restored")

    def preflight(self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part]) -> None:
        """Refuse another engine, an older server, missing extensions, too little space, a server we may not start."""
        size = sum((folder / part.name).stat().st_size for part in parts)
        free = control.free_bytes()
        if free is not None and free < _SPACE * size:
            what = f"restoring the database needs about {_SPACE * size >> 20} MiB, {free >> 20} MiB are free"
            raise MissingError("disk_full", what, "free some space, then run the command again")
        try:
            with roles.operator(endpoint, roles.MAINTENANCE) as connection, translated():
                version = inventory.server_version(connection)
                available = inventory.available_extensions(connection)
        except UnhealthyError as error:
            if not endpoint.can(Capability.RESTART):
                hint = f"start it where it runs. {error.hint}"
                raise MissingError(
                    "capability_missing", f"{error.message}, and ragops may not start it", hint
                ) from error
            version, available = endpoint.options.get(inventory.SERVER, endpoint.version), None
        for part in parts:
            _check_versions(endpoint, part, version, available)

    def restore(self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part]) -> tuple[str, ...]:
        """Fill a new database, compare, and let it take the old one's place."""
        (part,) = parts
        notes = _bring_up(endpoint, control)
        database = endpoint.options["database"]
        try:
            roles.prepare_role(endpoint)
            with _new_database(endpoint) as fresh:
                _fill(endpoint, control, fresh, folder / part.name, part)
                kept = swap.take_place(endpoint, fresh, database, swap.kept_name(database))
            if TIMESCALE in part.versions:
                extension.wake(endpoint, database)
            if kept:
                extension.quiet(endpoint, kept)
        except RagopsError as error:
            error.hint = " ".join([error.hint, *notes]).strip()
            raise
        return (*notes, *_kept(endpoint))

    def counts(self, endpoint: Endpoint) -> Mapping[str, int]:
        """Rows of every table now, indexes and constraints."""
        database = endpoint.options["database"]
        with roles.operator(endpoint, database, limit=0) as connection, translated(f"database {database}"):
            return inventory.counts(connection)


def _check_versions(endpoint: Endpoint, part: Part, version: str, available: set[tuple[str, str]] | None) -> None:
    """`available` extensions are unknown (None) where the server is down."""
    engine = next(iter(part.versions))
    if engine != endpoint.engine:
        what = f"{part.name} was written by {engine}, this is {endpoint.engine}: recovery points do not cross"
        raise MissingError("engine_differs", what, f"restore it into a platform that runs {engine}")
    written = part.versions[inventory.SERVER]
    if _major(written) > _major(version):
        what = f"{part.name} was written by {inventory.SERVER} {written}, {version} here is older"
        raise MissingError("engine_too_old", what, f"upgrade {inventory.SERVER} to {written} or later first")
    if available is None:
        return
    for name, wanted in _extensions(part).items():
        # The dump makes every extension in the server's own version, but TimescaleDB's catalogue fits one version only.
        found = (name, wanted) in available if name == "timescaledb" else name in {known for known, _ in available}
        if not found:
            what = f"{part.name} needs the extension {name} {wanted}, which the server does not have"
            raise MissingError("extension_missing", what, f"install {name} {wanted} on the server")


def _extensions(part: Part) -> dict[str, str]:
    start = "extension."
    return {name.removeprefix(start): version for name, version in part.versions.items() if name.startswith(start)}


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def _bring_up(endpoint: Endpoint, control: Control) -> tuple[str, ...]:
    """Make the server answer, with a new data folder where it cannot start on the old one; that one is kept."""
    try:
        roles.wait_ready(endpoint)
    except UnhealthyError as error:
        if error.code not in _NO_ANSWER:
            raise
    else:
        return ()
    control.stop()
    try:
        control.start()
        roles.wait_ready(endpoint)
    except RagopsError as error:
        if error.code not in (*_DEAD_DATA, *_NO_ANSWER):
            raise
    else:
        return ()
    control.stop()
    aside = control.set_data_aside("before-restore")
    try:
        control.start()
        roles.wait_ready(endpoint)
    except BaseException:
        control.stop()
        control.bring_data_back(aside)
        raise
    return (f"PostgreSQL could not start on its old data: they are kept in {aside}.",)


@contextmanager
def _new_database(endpoint: Endpoint) -> Iterator[str]:
    """An empty database that is dropped where the block fails; what killed restores left is dropped first."""
    database = endpoint.options["database"]
    fresh = swap.scratch_name(database)
    try:
        with roles.operator(endpoint, roles.MAINTENANCE, limit=0) as connection, translated(f"database {fresh}"):
            for left in swap.scratch_databases(connection, database):
                swap.drop(connection, left)
            roles.create(connection, fresh)
            roles.grant_connect(connection, fresh, endpoint.logins["application"].user)
        yield fresh
    except BaseException:
        with suppress(RagopsError), roles.operator(endpoint, roles.MAINTENANCE) as connection, translated():
            swap.drop(connection, fresh)
        raise


def _fill(endpoint: Endpoint, control: Control, database: str, source: Path, part: Part) -> None:
    with archive.logged_in(endpoint) as environment, _timescale_restoring(endpoint, database, part):
        arguments = archive.restore_arguments(control.tool("pg_restore"), endpoint, database)
        if (jobs := _jobs(endpoint, part)) > 1:
            child.run(archive.parallel(arguments, source, jobs), environment, archive.LIMIT, name="pg_restore")
        else:
            child.run(arguments, environment, archive.LIMIT, stdin=source, name="pg_restore")
        # Counted before TimescaleDB's jobs may run: retention would remove what is older than its time.
        _examine(endpoint, database, part)


def _examine(endpoint: Endpoint, database: str, part: Part) -> None:
    """Compare every count; gather statistics meanwhile, for a dump has none, and without the first queries are slow."""
    with ThreadPoolExecutor(1) as pool:
        analyzed = pool.submit(_execute, endpoint, database, "ANALYZE")
        with roles.operator(endpoint, database, limit=0) as connection, translated(f"database {database}"):
            extension.look_through_restoring(connection)
            _compare(part.counts, inventory.counts(connection))
        analyzed.result()


def _jobs(endpoint: Endpoint, part: Part) -> int:
    """Processes that may restore: hypertables bear one only, and where the tool cannot open our file there is one."""
    return min(4, os.cpu_count() or 1) if endpoint.files_here and TIMESCALE not in part.versions else 1


def _execute(endpoint: Endpoint, database: str, statement: LiteralString) -> None:
    with roles.operator(endpoint, database, limit=0) as connection, translated(f"database {database}"):
        connection.execute(statement)


@contextmanager
def _timescale_restoring(endpoint: Endpoint, database: str, part: Part) -> Iterator[None]:
    """TimescaleDB's own restoring mode, ended whatever happens; nothing to do for a dump without it."""
    if TIMESCALE not in part.versions:
        yield
        return
    with roles.operator(endpoint, database, limit=0) as connection, translated(f"database {database}"):
        statement = sql.SQL("CREATE EXTENSION timescaledb VERSION {}")
        connection.execute(statement.format(sql.Literal(part.versions[TIMESCALE])))
        connection.execute("SELECT timescaledb_pre_restore()")
        try:
            yield
        finally:
            connection.execute("SELECT timescaledb_post_restore()")


def _compare(expected: Mapping[str, int], found: Mapping[str, int]) -> None:
    kinds = sorted(expected.keys() | found.keys())
    faults = [
        f"{kind}: {found.get(kind)}, not {expected.get(kind)}"
        for kind in kinds
        if expected.get(kind) != found.get(kind)
    ]
    if faults:
        what = f"the restored database has other counts than the manifest says: {', '.join(faults)}"
        raise IntegrityError("counts_differ", what, "nothing was replaced; use another recovery point")


def _kept(endpoint: Endpoint) -> tuple[str, ...]:
    """Words on every database that restores have kept, the newest last."""
    with roles.operator(endpoint, roles.MAINTENANCE) as connection, translated():
        names = swap.kept_databases(connection, endpoint.options["database"])
    return tuple(f'the database from before is kept; to drop it: DROP DATABASE "{name}";' for name in names)
