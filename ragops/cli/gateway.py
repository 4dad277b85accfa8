"""Commands on the gateway: token issue, list, revoke; gateway diff, check, apply."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli import completion
from ragops.cli.help import Application
from ragops.cli.lifecycle import LockWait
from ragops.cli.state import state
from ragops.errors import ExitCode

if TYPE_CHECKING:
    from ragops.cli.console import Console
    from ragops.operations.gateway.config import GatewayDiff

tokens = Application(help="Tokens that open the gateway, one key for each.")
gateway = Application(help="The gateway's hot configuration.")


@tokens.command()
def issue(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who will use it.")],
    days: Annotated[int, typer.Option(min=1, max=366, metavar="DAYS", help="How long it holds.")] = 90,
    lock_wait: LockWait = 0.0,
) -> None:
    """Issue a token; it is shown this once.

    It has a key of its own, so that it can be revoked alone. The gateway takes it before this returns.

    Example: ragops token issue website --days 30
    """
    from ragops.operations.gateway import tokens as operation
    from ragops.operations.gateway.config import applier

    current = state(context)
    session = current.session(lock_wait)
    paths, settings = session.project.paths, session.project.settings
    with session.changing():
        now = datetime.now(tz=UTC)
        apply = applier(session)
        result = operation.issue(paths.gateway, settings.name, name, now, apply, timedelta(days=days))
    current.console.document(result)
    current.console.text(result.token)
    current.console.message(f"{result.kid} for {name}, until {result.expires:%Y-%m-%d}; it is kept nowhere")
    if result.same_name > 1:
        current.console.message(f"{name} now has {result.same_name} tokens; `ragops token revoke ID` ends one")


@tokens.command(name="list")
def list_tokens(context: typer.Context) -> None:
    """List the tokens that were issued.

    Example: ragops token list
    """
    from ragops.operations.gateway import tokens as operation

    current = state(context)
    lines = operation.list_tokens(current.project().paths.gateway, datetime.now(tz=UTC))
    current.console.document({"tokens": lines})
    rows = [
        (
            line.kid,
            line.name,
            f"{line.created:%Y-%m-%d}",
            f"{line.expires:%Y-%m-%d}",
            "expired" if line.expired else "ok",
        )
        for line in lines
    ]
    current.console.table(
        ("ID", "NAME", "ISSUED", "UNTIL", "STATE"),
        rows,
        optional=("ISSUED",),
        empty="there are no tokens: `ragops token issue NAME` makes one",
    )


@tokens.command()
def revoke(
    context: typer.Context,
    token: Annotated[
        str,
        typer.Argument(
            metavar="TOKEN", autocompletion=completion.tokens, help="Its id, or a name for all of that name."
        ),
    ],
    lock_wait: LockWait = 0.0,
) -> None:
    """Revoke a token at once, without a restart.

    Example: ragops token revoke website
    """
    from ragops.operations.gateway import tokens as operation
    from ragops.operations.gateway.config import applier

    current = state(context)
    session = current.session(lock_wait)
    with session.changing():
        apply = applier(session)
        result = operation.revoke(session.project.paths.gateway, token, datetime.now(tz=UTC), apply)
    current.console.document(result)
    for line in result.tokens:
        current.console.text(f"revoked {line.kid} ({line.name})")


@gateway.command()
def diff(context: typer.Context) -> None:
    """Show what `gateway apply` would change; exit 4 if anything.

    Example: ragops gateway diff
    """
    from ragops.operations.gateway import config as operation

    current = state(context)
    found = operation.diff(*operation.open_gateway(current.session()))
    _show(current.console, found)
    if found.changed:
        raise typer.Exit(ExitCode.CHANGES)


@gateway.command()
def check(context: typer.Context) -> None:
    """Let the gateway judge the new configuration.

    Nothing is applied.

    Example: ragops gateway check
    """
    from ragops.operations.gateway import config as operation

    current = state(context)
    found = operation.check(*operation.open_gateway(current.session()))
    _show(current.console, found)
    current.console.message("the gateway accepts it")


@gateway.command()
def apply(context: typer.Context, lock_wait: LockWait = 0.0) -> None:
    """Apply the configuration hot; rolled back if it fails its test.

    Example: ragops gateway apply
    """
    from ragops.operations.gateway import config as operation

    current = state(context)
    session = current.session(lock_wait)
    with session.changing():
        result = operation.apply(*operation.open_gateway(session), operation.applier(session))
    current.console.document(result)
    for name in result.changed:
        current.console.text(f"~ {name}")
    current.console.text(f"{len(result.changed) or 'no'} files changed; applied with the certificate as it is now")


def _show(console: Console, found: GatewayDiff) -> None:
    from ragops.cli.views import jsonable

    console.document({**jsonable(found), "changed": found.changed})
    for file in found.files:
        for line in file.lines:
            console.text(line)
    if found.restart:
        console.text("the gateway has to be restarted: `ragops up`")
    if not found.changed:
        console.text("no changes")
