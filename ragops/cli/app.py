"""The Typer application: global options and the commands in the order in which a person meets them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragops import __version__
from ragops.cli import (
    backup,
    cluster,
    cluster_moves,
    cluster_nodes,
    cluster_verify,
    collection,
    completion,
    drill,
    engine,
    gateway,
    images,
    ingest,
    lifecycle,
    metrics,
    migrate,
    observe,
    points,
    query,
    recover,
    repair,
    restore,
    schedule,
    secrets,
    service,
    slo,
)
from ragops.cli.console import Console
from ragops.cli.help import ACCESS, DATA, OBSERVE, PROTECT, PROVISION, TOOLS, Application
from ragops.cli.state import State
from ragops.resources import page_url

if TYPE_CHECKING:
    from collections.abc import Callable

app = Application(
    name="ragops",
    help="Provisions a self-hosted RAG platform from one file and keeps it alive.",
    pretty_exceptions_enable=False,
    epilog=f"Documentation: {page_url('')}",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        Console().text(f"ragops {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="ragops.yaml; found upward if not given.")] = None,
    env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", autocompletion=completion.environments, help="Environment: adds ragops.NAME.yaml."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout, errors included.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No messages, only data and errors.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Tracebacks of failures; lists of what is else counted.")
    ] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="Plain text; so does NO_COLOR.")] = False,
    as_owner: Annotated[
        bool, typer.Option("--as-owner", help="Root only: run as the user whose project it is.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of all commands; they may stand before or after the command's name."""
    del version  # its callback has done its work
    console = Console(as_json=json, quiet=quiet or json, verbose=verbose, color=not no_color)
    context.obj = State(console, config, env, as_owner)
    if as_owner:
        context.obj.become_owner()


_COMMANDS: tuple[tuple[str, tuple[Callable[..., None], ...]], ...] = (
    (PROVISION, (lifecycle.init, lifecycle.doctor, lifecycle.plan, lifecycle.up, lifecycle.down)),
    (OBSERVE, (observe.status, observe.outputs, observe.logs, observe.drift, observe.health, slo.slo)),
    (PROTECT, (restore.restore, repair.repair, recover.recover)),
    (TOOLS, (lifecycle.unlock, completion.completion)),
)
_BACKUP_COMMANDS: tuple[Callable[..., None], ...] = (
    *(backup.run, points.list_points, points.show, points.verify, backup.copy, backup.keep, backup.prune),
    *(backup.keygen, backup.delete, drill.drill, schedule.scheduled),
)
for _panel, _commands in _COMMANDS:
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
app.command(rich_help_panel=DATA)(ingest.ingest)
app.command(rich_help_panel=DATA)(query.query)
for _command in _BACKUP_COMMANDS:
    backup.group.command(name="list" if _command is points.list_points else None)(_command)
for _name, _command in (
    ("rebalance", cluster_moves.rebalance),
    ("set-replication", cluster_moves.set_replication),
    ("move-shard", cluster_moves.move_shard),
    ("add-node", cluster_nodes.add_node),
    ("remove-node", cluster_nodes.remove_node),
    ("replace-node", cluster_nodes.replace_node),
    ("verify", cluster_verify.verify),
    ("repair", cluster_verify.repair),
    ("cancel", cluster_moves.cancel),
):
    cluster.group.command(name=_name)(_command)
backup.group.add_typer(schedule.of_backup, name="schedule")
for _panel, _name, _group in (
    (DATA, "migrate", migrate.group),
    (DATA, "collection", collection.group),
    (PROVISION, "cluster", cluster.group),
    (PROTECT, "backup", backup.group),
    (OBSERVE, "metrics", metrics.group),
    (TOOLS, "schedule", schedule.group),
    (TOOLS, "service", service.group),
    (ACCESS, "secrets", secrets.secrets),
    (ACCESS, "token", gateway.tokens),
    (ACCESS, "gateway", gateway.gateway),
    (TOOLS, "images", images.group),
    (TOOLS, "engine", engine.group),
):
    app.add_typer(_group, name=_name, rich_help_panel=_panel)
