"""Dump, verify and restore of the metadata database.

A restore fills a database of its own and compares every count there; only then does it take the old one's place, in one
transaction. The old one serves until that instant and is kept under another name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.postgres import fetch_column
from ragops.errors import LockedError, MissingError, RagopsError, UnhealthyError
from ragops.services.backup_checks import check_engine, check_major, need_space
from ragops.services.contract import Capability
from ragops.services.rollback import rollback
from ragops.services.timescaledb import extension, roles
from ragops.services.timescaledb.backup import counts as inventory
from ragops.services.timescaledb.backup import dump as dumping
from ragops.services.timescaledb.backup import pg_dump, proof, server_globals
from ragops.services.timescaledb.restore import database_builder, pg_restore, swap
from ragops.services.timescaledb.restore import roles as restore_roles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ragops.adapters.postgres import Connection
    from ragops.services.contract import Endpoint, Part, PartWriter, Proof
    from ragops.services.control import Control
    from ragops.services.kept_data import Kept
    from ragops.services.timescaledb.backup.server_globals import Globals

_SPACE = 3  # a restored database is some times the size of its dump: indexes
_NO_ANSWER = ("database_unreachable", "database_refused", "database_connection_lost")
_DEAD_DATA = ("service_failed", "data_folder_foreign")


class TimescaleBackup:
    """By pg_dump in one exported snapshot, in which all rows are counted too."""

    def dump(self, endpoint: Endpoint, control: Control, writer: PartWriter) -> None:
        """Dump and count as of one instant, then read it. Raises RagopsError, IntegrityError (not_restorable)."""
        writer.run_all([lambda: dumping.dump(endpoint, control, writer)])

    def verify(self, folder: Path, part: Part, control: Control) -> None:
        """Read the whole archive with pg_restore and look for every table that was counted."""
        if part.name == server_globals.PART:
            server_globals.parse(folder / part.name)
        else:
            pg_dump.check_file(folder / part.name, part.counts, control)

    def prove(
        self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part], budget: float = 0.0
    ) -> Proof:
        """Restore into a scratch database and compare."""
        return proof.prove(endpoint, control, folder, parts, budget)

    def preflight(self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part]) -> None:
        """Refuse another engine, an older server, missing extensions, too little space, a server we may not start."""
        size = sum((folder / part.name).stat().st_size for part in parts)
        need_space("restore the database", "where its data lie", control.free_bytes(), _SPACE * size)
        try:
            with roles.session(endpoint, roles.MAINTENANCE, subject="the database") as connection:
                version = inventory.server_version(connection)
                available = inventory.available_extensions(connection)
                _refuse_here(connection, endpoint, database_builder.globals_of(folder, parts))
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
        part, wanted = database_builder.dump_of(parts), database_builder.globals_of(folder, parts)
        notes = list(_bring_up(endpoint, control))
        database = endpoint.options["database"]
        try:
            roles.prepare_role(endpoint)
            notes += database_builder.make_roles(endpoint, wanted)
            with database_builder.new_database(endpoint, wanted) as fresh:
                notes += database_builder.fill(
                    pg_restore.RestoreJob(endpoint, control, fresh, folder / part.name, part, wanted)
                )
                notes += extension.update(endpoint, fresh)
                database_builder.finish(endpoint, fresh, wanted)
                rests = pg_restore.TIMESCALE in part.versions
                kept = swap.swap_databases(endpoint, fresh, database, swap.make_name(database, swap.KEPT), rests=rests)
            if pg_restore.TIMESCALE in part.versions:
                extension.start_background_jobs(endpoint, database)
            if kept and not swap.drop_if_empty(endpoint, kept):
                extension.stop_background_jobs(endpoint, kept)
                notes += database_builder.quiet_subscriptions(endpoint, kept)
        except RagopsError as error:
            error.hint = " ".join([error.hint, *notes]).strip()
            raise
        return (*notes, *database_builder.left_out(endpoint, wanted), *_describe_kept(endpoint))

    def kept(self, endpoint: Endpoint) -> tuple[Kept, ...]:
        """Databases of earlier restores."""
        return swap.list_kept(endpoint)

    def drop_kept(self, endpoint: Endpoint, names: Sequence[str]) -> None:
        """Drop some of them for good."""
        swap.drop_kept(endpoint, names)

    def counts(self, endpoint: Endpoint) -> Mapping[str, int]:
        """Rows of every table now, indexes and constraints."""
        with roles.session(endpoint, limit=0) as connection:
            return inventory.counts(connection)


def _refuse_here(connection: Connection, endpoint: Endpoint, wanted: Globals | None) -> None:
    """Refuse what would keep the restored database from taking its place, and roles that cannot be made."""
    query = "SELECT gid FROM pg_prepared_xacts WHERE database = %s ORDER BY 1"
    if prepared := fetch_column(connection, query, [endpoint.options["database"]]):
        what = f"cannot replace the database: it has prepared transactions, {', '.join(prepared)}"
        hint = f"end them in it, each: `COMMIT PREPARED '{prepared[0]}'` or `ROLLBACK PREPARED '{prepared[0]}'`"
        raise LockedError("transactions_prepared", what, hint)
    if wanted:
        restore_roles.refuse(connection, wanted)


def _check_versions(endpoint: Endpoint, part: Part, version: str, available: set[tuple[str, str]] | None) -> None:
    """`available` extensions are unknown (None) if the server is down."""
    check_engine(endpoint, part)
    check_major(part, inventory.SERVER, version)
    if available is None:
        return
    for name, wanted in _extensions(part).items():
        # The dump makes every extension in the server's own version, but TimescaleDB's catalogue fits one version only.
        found = (name, wanted) in available if name == "timescaledb" else name in {known for known, _ in available}
        if not found:
            what = f"cannot restore {part.name}: it needs the extension {name} {wanted}, which the server does not have"
            raise MissingError("extension_missing", what, f"install {name} {wanted} on the server")


def _extensions(part: Part) -> dict[str, str]:
    start = "extension."
    return {name.removeprefix(start): version for name, version in part.versions.items() if name.startswith(start)}


def _bring_up(endpoint: Endpoint, control: Control) -> tuple[str, ...]:
    """Make the server answer, with a new data folder if it cannot start on the old one, which is kept."""
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
    with rollback() as undo:
        aside = control.move_data_aside("before-restore")
        undo.add(f"put the old data back from {aside}", lambda: control.rollback_data(aside))
        undo.add("stop the database", control.stop)
        control.start()
        roles.wait_ready(endpoint)
    return (f"PostgreSQL could not start on its old data: they are kept in {aside}.",)


def _describe_kept(endpoint: Endpoint) -> tuple[str, ...]:
    """Return a note on every database that restores have kept, the newest last."""
    with roles.session(endpoint, roles.MAINTENANCE, subject="the database") as connection:
        names = swap.find_named(connection, endpoint.options["database"], swap.KEPT)
    return tuple(f'the database from before is kept; to drop it: DROP DATABASE "{name}";' for name in names)
