"""Commands on generated secrets: secrets list, secrets rotate."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from ragops.cli import completion
from ragops.cli.help import Application
from ragops.cli.lifecycle import LockWait, Yes
from ragops.cli.state import state

secrets = Application(help="Generated passwords and keys: users, age, rotation.")


@secrets.command(name="list")
def list_secrets(context: typer.Context) -> None:
    """List every generated secret, never its value.

    Example: ragops secrets list
    """
    from ragops.operations.lifecycle import secrets as operation

    current = state(context)
    lines = operation.list_secrets(current.project())
    current.console.document({"secrets": lines})
    rows = [
        (
            line.name,
            line.service,
            line.uses,
            f"{'before ' if line.at_least else ''}{line.created:%Y-%m-%d}" if line.created else "-",
            line.state or line.rotation,
        )
        for line in lines
    ]
    current.console.table(
        ("NAME", "SERVICE", "USED BY", "SINCE", "CHANGED BY"),
        rows,
        optional=("SINCE", "SERVICE"),
        empty="there are no secrets yet: `ragops init` or `ragops up` makes them",
    )


@secrets.command()
def rotate(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", autocompletion=completion.secrets, help="Secrets of `secrets list`."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every generated password and key.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Complete a rotation, or end its grace time.")] = False,
    grace: Annotated[int, typer.Option(min=0, metavar="MINUTES", help="Keep old values valid for this long.")] = 0,
    yes: Yes = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Give secrets new values, without downtime if a server takes two at once.

    Servers take both values, then consumers get the new one, then the old one is refused. Restarts that this needs are
    announced first. The next run completes one that was killed.

    Example: ragops secrets rotate redis_application --yes
    """
    from ragops.cli.progress import steps
    from ragops.operations.lifecycle import secrets as operation

    current = state(context)
    console, session = current.console, current.session(lock_wait)
    plan = operation.plan_rotation(session, names or (), every=every, resume=resume)
    for name in plan.begun:
        console.message(f"{name}: continuing the rotation that was interrupted")
    for effect in plan.disturbs:
        console.message(effect)
    console.confirm(f"This gives {', '.join(plan.names)} new values; applications of your own need them.", yes=yes)
    with steps(console, "secrets rotate") as on_step:
        result = operation.rotate(session, plan, timedelta(minutes=grace), on_step)
    console.document(result)
    for name in result.names:
        console.text(f"rotated {name}")
    if result.until:
        console.message(f"the old values are good until {result.until:%Y-%m-%d %H:%M} UTC and the next `ragops up`")
    console.message("applications get the new ones by `ragops outputs --show-secrets`")
