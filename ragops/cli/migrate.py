"""Commands on the metadata database: migrate up, status, json-to-db, db-to-json, maintain."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli.help import Application
from ragops.cli.lifecycle import LockWait
from ragops.cli.state import state
from ragops.errors import ExitCode
from ragops.units import duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.services.timescaledb.collections.json_import import ImportReport

_SERVICE = "timescaledb"

group = Application(help="The metadata database and its rag schema.")
File = Annotated[Path, typer.Argument(metavar="FILE", help="A collections-config.json.")]


@group.command()
def up(
    context: typer.Context,
    fresh: Annotated[bool, typer.Option("--fresh", help="Make an empty schema if the earlier one is gone.")] = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Apply pending migrations.

    Each in a transaction of its own; an applied file that was edited since is refused. Exits with 3 if tables or
    other objects of applied migrations are missing, or the whole schema is gone: a restore brings them back.

    Example: ragops migrate up
    """
    from ragops.operations.backup import point_condition
    from ragops.operations.data import migrate

    current = state(context)
    session = current.session(lock_wait)
    with session.changing():
        held, restore_command = point_condition.held(session), point_condition.restore_command(session)
        report = migrate.up(session.endpoint(_SERVICE), held=held, restore_command=restore_command, fresh=fresh)
    current.console.document(report)
    for item in report.applied:
        current.console.message(f"applied {item.version:03} {item.name} ({duration(item.seconds)})")
    total = len(report.status.migrations)
    current.console.text(f"{len(report.applied)} applied, {total} in all, made for {report.status.edition.value}")
    if len(report.applied) == total:  # the schema is new
        current.console.message("next: `ragops collection create NAME DIRECTORY`, then `ragops ingest`")


@group.command()
def status(context: typer.Context) -> None:
    """Show which migrations are applied.

    Shows as well what the server can do: community, apache or postgresql. Exits with 3 if objects that applied
    migrations have made are missing.

    Example: ragops migrate status
    """
    from ragops.operations.backup import point_condition
    from ragops.operations.data import migrate

    current = state(context)
    session = current.session()
    result = migrate.status(session.endpoint(_SERVICE))
    current.console.document(result)
    if current.console.as_json:  # the document states what is missing
        raise typer.Exit(ExitCode.UNHEALTHY if result.missing else ExitCode.DONE)
    rows = [
        (f"{row.version:03}", row.name, row.state.value, f"{row.applied_at:%Y-%m-%d %H:%M}" if row.applied_at else "-")
        for row in result.migrations
    ]
    extension = f", TimescaleDB {result.extension_version}" if result.extension_version else ""
    title = f"PostgreSQL {result.server_version}{extension} · edition {result.edition.value}"
    current.console.table(("VERSION", "NAME", "STATE", "APPLIED (UTC)"), rows, title, optional=("APPLIED (UTC)",))
    migrate.require_whole(result, point_condition.restore_command(session))


@group.command(name="json-to-db")
def json_to_db(
    context: typer.Context,
    file: File,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the changes, write nothing.")] = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Import a collections-config.json.

    In one transaction; a second import changes nothing. Every fault of the file is reported at once. A collection needs
    a name and a directory: {"collections": [{"name": "docs", "directory": "docs"}]}. `ragops init` writes a sample, and
    The page collections.md explains every key; `ragops --help` names its folder.

    Example: ragops migrate json-to-db collections-config.json --dry-run
    """
    from ragops.adapters.audit import find_user
    from ragops.operations.data import migrate
    from ragops.operations.data.models import find_models

    current = state(context)
    session = current.session(lock_wait)
    models = find_models(session)
    with contextlib.nullcontext() if dry_run else session.changing(("ingest",)):
        database = session.endpoint(_SERVICE)
        report = migrate.import_json(database, file, dry_run=dry_run, actor=find_user(), models=models)
    current.console.document(report)
    _show_import(current.console.text, report)
    _warn_of_unread(current.console.message, report)


def _warn_of_unread(warn: Callable[[str], None], report: ImportReport) -> None:
    for key, count in report.unread_keys.items():
        times = f" of {count} collections" if count > 1 else ""
        warn(f"nothing acts on the key {key!r}{times}: it is kept as it is; is its name right?")


def _show_import(line: Callable[[str], None], report: ImportReport) -> None:
    for name in report.added:
        line(f"+ {name}")
    for change in report.changed:
        line(f"~ {change.name}")
        for field in change.fields:
            line(f"    {field.field}: {field.old} → {field.new}")
    for name in report.absent:
        line(f"  {name}: not in the file any more; left as it is")
    counts = f"{len(report.added)} added, {len(report.changed)} changed, {report.unchanged} unchanged"
    line(f"{counts}{' (dry run: nothing was written)' if report.dry_run else ''}")


@group.command(name="db-to-json")
def db_to_json(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="File to write; stdout if not given.")] = None,
) -> None:
    """Write the collections as a document that imports to the same rows.

    Example: ragops migrate db-to-json exported.json
    """
    from ragops.adapters.files import write_atomic
    from ragops.operations.data import migrate
    from ragops.operations.data.models import find_models

    current = state(context)
    session = current.session()
    document = migrate.export_json(session.endpoint(_SERVICE), find_models(session))
    if file is None:
        current.console.as_json = False  # it is one already
        current.console.text(document.rstrip("\n"))
    else:
        write_atomic(file, document)
        current.console.document({"file": str(file)})
        current.console.message(f"wrote {file}")


@group.command()
def maintain(context: typer.Context, lock_wait: LockWait = 0.0) -> None:
    """Make partitions ahead, refresh figures, drop query logs beyond 90 days.

    What the server does by policy is left to it.

    Example: ragops migrate maintain
    """
    from ragops.operations.data import migrate

    current = state(context)
    session = current.session(lock_wait)
    with session.changing():
        report = migrate.maintain(session.endpoint(_SERVICE))
    current.console.document(report)
    for word, names in (
        ("made", report.partitions_made),
        ("refreshed", report.refreshed),
        ("dropped", report.dropped),
        ("left to the server's policy", report.by_policy),
    ):
        if names:
            current.console.text(f"{word}: {', '.join(names)}")
