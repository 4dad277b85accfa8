"""Commands on the Pulumi engine: engine install, engine path."""

from __future__ import annotations

from typing import Annotated

import typer

from ragops.cli.help import Application
from ragops.cli.state import state

group = Application(help="The Pulumi engine that provisioning runs with.")


@group.command()
def install(
    context: typer.Context,
    from_source: Annotated[
        bool, typer.Option("--from-source", help="Build it from the Go module proxy; 3 to 11 minutes on 2 cores.")
    ] = False,
    or_build: Annotated[
        bool, typer.Option("--or-build", help="Download it, or build it if the download cannot be reached.")
    ] = False,
) -> None:
    """Find the pinned engine, or download it.

    There is nothing to do if it is already installed.

    Example: ragops engine install --or-build
    """
    from ragops.adapters.pulumi import install as engine
    from ragops.adapters.pulumi.install import Source

    console = state(context).console
    source = Source.BUILD if from_source else Source.EITHER if or_build else Source.DOWNLOAD
    found = engine.install(source, console.message)
    console.document(found)
    console.text(str(found.path))


@group.command()
def path(context: typer.Context) -> None:
    """Print the path of the engine that is used.

    Example: ragops engine path
    """
    from ragops.adapters.pulumi import install as engine

    console = state(context).console
    found = engine.require(console.message)
    console.document(found)
    console.text(str(found.path))
