"""The Typer application: global options and the commands in the order in which a person meets them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ragops import __version__
from ragops.cli import (
    backup,
    completion,
    engine,
    gateway,
    images,
    ingest,
    lifecycle,
    migrate,
    observe,
    query,
    recover,
    repair,
    restore,
    schedule,
    secrets,
    service,
    unlock,
)
from ragops.cli.console import Console
from ragops.cli.help import Application
from ragops.cli.state import State
from ragops.resources import page_url

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
    verbose: Annotated[bool, typer.Option("--verbose", help="Tracebacks of failures.")] = False,
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


for module in (
    lifecycle,
    observe,
    migrate,
    ingest,
    query,
    backup,
    schedule,
    service,
    secrets,
    restore,
    repair,
    recover,
    gateway,
    images,
    engine,
    unlock,
    completion,
):
    module.register(app)
