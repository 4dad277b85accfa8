"""Filling of an empty database from an archive: in one go, or in stages if the server evaluates more than rows."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from ragops.adapters import subprocess_tool
from ragops.adapters.files import SECRET_MODE, write_atomic
from ragops.adapters.postgres import fetch_column, fetch_value
from ragops.adapters.temp_dirs import private_temp_dir
from ragops.errors import RagopsError
from ragops.services.contract import NotRestored
from ragops.services.timescaledb import roles
from ragops.services.timescaledb.backup import pg_dump
from ragops.services.timescaledb.backup.evaluated_expressions import Evaluated, find_evaluated
from ragops.services.timescaledb.restore import null_blocks
from ragops.services.timescaledb.restore.deferred_checks import Check, put_aside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ragops.adapters.postgres import Connection
    from ragops.services.contract import Endpoint, Part
    from ragops.services.control import Control
    from ragops.services.timescaledb.backup.server_globals import Globals

TIMESCALE = "extension.timescaledb"
_LIST_LIMIT = 300.0
_EVENT_TRIGGERS_SINCE = 170000
# What the settings of a database and its triggers on logins must not do to those who fill it.
_SETTINGS = {"role": "none", "default_transaction_read_only": "off", "session_replication_role": "origin"}


@dataclass(frozen=True)
class RestoreJob:
    """One database to be filled from the archive `source`, within `limit` seconds for each run of a tool.

    `wanted` is None for recovery points of older versions.
    """

    endpoint: Endpoint
    control: Control
    database: str
    source: Path
    part: Part
    wanted: Globals | None
    limit: float = pg_dump.LIMIT

    def restore(self, *options: str, chosen: Sequence[pg_dump.Entry] | None = None, strict: bool = True) -> None:
        """Run pg_restore; of the entries `chosen` alone. Raises RagopsError (tool_failed, tool_timeout)."""
        with self._list(chosen) as listed, pg_dump.logged_in(self.endpoint) as environment:
            tool = self.control.tool("pg_restore")
            settings = session_settings(self.endpoint)
            arguments = pg_dump.restore_arguments(tool, self.endpoint, self.database, settings)
            arguments = [*arguments, *options, *listed]
            if not strict:
                arguments.remove("--exit-on-error")
            if self.jobs > 1:
                arguments = pg_dump.parallel(arguments, self.source, self.jobs)
                subprocess_tool.run_tool(arguments, environment, self.limit, name="pg_restore")
            else:
                subprocess_tool.run_tool(arguments, environment, self.limit, stdin=self.source, name="pg_restore")

    @property
    def jobs(self) -> int:
        """The number of processes that may restore: one for hypertables, and if the tool cannot open our file."""
        several = self.endpoint.files_here and TIMESCALE not in self.part.versions
        return min(4, os.cpu_count() or 1) if several else 1

    def entries(self) -> list[pg_dump.Entry]:
        """Return the table of contents of the archive."""
        with pg_dump.logged_in(self.endpoint) as environment:
            tool = [*self.control.tool("pg_restore"), "--list"]
            return pg_dump.entries(
                subprocess_tool.read_tool_output(tool, environment, _LIST_LIMIT, stdin=self.source, name="pg_restore")
            )

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """Open a connection to the database, whose settings and triggers on logins do nothing to it."""
        settings = session_settings(self.endpoint)
        with roles.session(self.endpoint, self.database, limit=0, settings=settings) as connection:
            yield connection

    @contextmanager
    def _list(self, chosen: Sequence[pg_dump.Entry] | None) -> Iterator[list[str]]:
        """Options that name a list of entries in a file that the tool can open."""
        if chosen is None:
            yield []
            return
        with private_temp_dir() as folder:
            local = folder / "list"
            write_atomic(local, "".join(f"{entry.line}\n" for entry in chosen), SECRET_MODE)
            if self.endpoint.files_here:
                yield [f"--use-list={local}"]
                return
            there = f"/tmp/ragops-{secrets.token_hex(8)}.list"  # noqa: S108  inside the image
            shell = self.control.tool("sh")
            subprocess_tool.run_tool([*shell, "-c", f"cat > {there}"], os.environ, _LIST_LIMIT, stdin=local, name="sh")
            try:
                yield [f"--use-list={there}"]
            finally:
                subprocess_tool.run_tool([*shell, "-c", f"rm -f {there}"], os.environ, _LIST_LIMIT, name="sh")


def session_settings(endpoint: Endpoint) -> dict[str, str]:
    """Return the settings of a session that fills a database."""
    with roles.log_in(endpoint, roles.MAINTENANCE) as connection:
        newer = connection.info.server_version >= _EVENT_TRIGGERS_SINCE
        superuser = fetch_value(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    if not superuser:
        return {name: value for name, value in _SETTINGS.items() if name != "session_replication_role"}
    return {**_SETTINGS, **({"event_triggers": "off"} if newer else {})}


def may_help(error: RagopsError) -> bool:
    """Whether a statement failed, which filling in stages may do better; not what is wrong with archive or server."""
    return error.code == "tool_failed" and "ERROR:" in error.message


class Stages:
    """A database filled in stages; `thorough` has every function and check in it taken care of.

    `notes` name what came back in another way.
    """

    def __init__(self, job: RestoreJob, *, thorough: bool = False) -> None:
        self.notes: list[str] = []
        self._job = job
        self._path = list(job.wanted.path) if job.wanted else []
        self._thorough = thorough
        self._found = Evaluated()
        self._set: list[str] = []
        self._dropped: list[Check] = []
        self._text_columns: null_blocks.TextColumns = {}

    def schema(self) -> None:
        """Restore all that comes before rows; then adapt or drop what would be evaluated too early."""
        listed = self._job.entries()
        pinned = self._create_pinned(listed)
        for segment in segments([entry for entry in listed if not (pinned and entry.kind == "SCHEMA")]):
            self._job.restore("--section=pre-data", chosen=segment)
            with self._job.connected() as connection:
                self._see_to_functions(connection)
        with self._job.connected() as connection:
            self._found = find_evaluated(connection)
            self._dropped = put_aside(connection, None if self._thorough else set(self._found.checks))
            self._text_columns = null_blocks.use_text_columns(connection)

    def _see_to_functions(self, connection: Connection) -> None:
        """Give those that are there by now a search_path, before a table makes the server look into them."""
        there = find_evaluated(connection).all_functions
        known = set(self._job.wanted.functions) if self._job.wanted and not self._thorough else None
        path = self._path or _schemas(connection)
        for name in there if path else ():
            if name not in self._set and (known is None or name in known):
                _routine(connection, name, path)
                self._set.append(name)

    def _create_pinned(self, listed: Sequence[pg_dump.Entry]) -> bool:
        """Make extensions in their old versions, if the server would choose others: after their schemas."""
        with self._job.connected() as connection:
            pinned = pinned_extensions(connection, self._job.wanted)
        if not pinned:
            return False
        self._job.restore("--section=pre-data", chosen=[entry for entry in listed if entry.kind == "SCHEMA"])
        with self._job.connected() as connection:
            for name, (version, schema) in pinned.items():
                statement = sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA {} VERSION {} CASCADE")
                words = (sql.Identifier(name), sql.Identifier(schema), sql.Identifier(version))
                connection.execute(statement.format(*words))
        return True

    def rows(self) -> None:
        """All rows, those first that others need."""
        self._fill_tables()
        self.restore_column_types()

    def restore_column_types(self) -> None:
        """Once the compressed rows are there: their columns as they were."""
        with self._job.connected() as connection:
            null_blocks.restore_column_types(connection, self._text_columns)
        self._text_columns = {}

    def _fill_tables(self) -> None:
        if not self._found.levels:
            self._job.restore("--section=data")
            return
        left = self._job.entries()
        for level in self._found.levels:
            chosen = [
                entry for entry in left if entry.kind == "TABLE DATA" and any(entry.is_of(*table) for table in level)
            ]
            if chosen:
                self._job.restore("--section=data", chosen=chosen)
            left = [entry for entry in left if entry not in chosen]
        self._job.restore("--section=data", chosen=left)

    def rest(self) -> None:
        """Restore indexes, constraints and views; what cannot be made is named if all else was restored."""
        try:
            self._job.restore("--section=post-data", strict=not self._thorough)
        except RagopsError as error:
            if not (self._thorough and "errors ignored on restore" in error.message):
                raise
            faults = [line for line in error.message.splitlines() if "error:" in line]
            reasons = (line.partition("error:")[2].strip() for line in faults)
            self.notes += [NotRestored(f"cannot make again: {words}") for words in reasons]
        with self._job.connected() as connection:
            for check in reversed(self._dropped):
                self.notes += check.put_back(connection)

    def end(self) -> None:
        """Functions as they were."""
        with self._job.connected() as connection:
            for name in self._set:
                _routine(connection, name, None)

    def run(self) -> None:
        """All of it."""
        self.schema()
        self.rows()
        self.rest()
        self.notes += analyze(self._job)  # which evaluates expressions of indexes too
        self.end()


def analyze(job: RestoreJob) -> list[str]:
    """Gather statistics: a dump has none, and without them queries are slow. Returns a note if some are missing."""
    with job.connected() as connection:
        try:
            connection.execute("ANALYZE")
        except psycopg.Error as error:
            if connection.closed:
                raise
            return [f"statistics are not complete: {error.diag.message_primary}; run ANALYZE"]
    return []


def segments(entries: Sequence[pg_dump.Entry]) -> list[list[pg_dump.Entry]]:
    """Return the entries in runs, a new one before each table that comes after functions: it may use them at once."""
    found: list[list[pg_dump.Entry]] = [[]]
    functions = False
    for entry in entries:
        if functions and entry.kind in ("TABLE", "TABLE ATTACH", "DEFAULT"):
            found.append([])
            functions = False
        functions = functions or entry.kind in ("FUNCTION", "PROCEDURE")
        found[-1].append(entry)
    return found


def pinned_extensions(connection: Connection, wanted: Globals | None) -> dict[str, tuple[str, str]]:
    """Return version and schema of the extensions whose version is not the server's default, but available."""
    if wanted is None:
        return {}
    query = "SELECT name, default_version FROM pg_available_extensions"
    offered: dict[str, str] = dict(connection.execute(query).fetchall())
    known = set(connection.execute("SELECT name, version FROM pg_available_extension_versions").fetchall())
    return {
        name: (version, schema)
        for name, (version, schema) in wanted.extensions.items()
        if name != "timescaledb" and offered.get(name) != version and (name, version) in known
    }


def _schemas(connection: Connection) -> list[str]:
    """Where sessions may look for names, for an archive of which nothing is known."""
    query = (
        "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|_timescaledb_|timescaledb_)'"
        " ORDER BY nspname <> 'public', 1"
    )
    return [name for name in fetch_column(connection, query) if name != "information_schema"]


def _routine(connection: Connection, signature: str, path: Sequence[str] | None) -> None:
    """Give the routine a search_path, or take it away again."""
    name = sql.SQL(signature)
    if path is None:
        connection.execute(sql.SQL("ALTER ROUTINE {} RESET search_path").format(name))
    else:
        words = sql.SQL(", ").join(map(sql.Literal, path))
        connection.execute(sql.SQL("ALTER ROUTINE {} SET search_path TO {}").format(name, words))
