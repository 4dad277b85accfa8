"""Commands that make a platform and take it down: init, doctor, plan, up, down, unlock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli.state import state
from ragops.errors import ExitCode
from ragops.runtimes import registry

if TYPE_CHECKING:
    from ragops.adapters.pulumi.state import StateFault
    from ragops.operations.lifecycle.provision import Plan

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
LockWait = Annotated[float, typer.Option(metavar="SECONDS", help="Wait this long for another run to end.")]

_RUNTIMES = ", ".join(f"{name} ({registry.facts(name).instances})" for name in registry.names())


def init(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the project.")] = Path(),
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the platform; the folder's if not given.")
    ] = None,
    runtime: Annotated[
        str, typer.Option(metavar="RUNTIME", help=f"What runs the services: {_RUNTIMES}.")
    ] = registry.DEFAULT,
) -> None:
    """Write the files of a new project.

    An annotated ragops.yaml, a sample collections-config.json, .gitignore and generated secrets; overwrites nothing.

    Example: ragops init my-rag
    """
    from ragops.operations.lifecycle.init import init as operation

    registry.find(runtime)
    console = state(context).console
    state(context).begin_project(directory)
    result = operation(directory, name, runtime)
    console.document(result)
    for path in result.written:
        console.message(f"wrote {path}")
    console.message("next: `ragops doctor`, then `ragops up`")


def doctor(context: typer.Context) -> None:
    """Check the machine, each finding with a hint.

    Looks at engines, ports, disk, memory, kernel settings and the clock.

    Example: ragops doctor
    """
    from ragops.cli.views import jsonable, show_diagnosis
    from ragops.operations.lifecycle.doctor import examine

    current = state(context)
    # A machine can be looked at before there is a project.
    result = examine(current.project() if current.names_project() else None)
    current.console.document({**jsonable(result), "ready": result.ready})
    show_diagnosis(current.console, result)
    raise typer.Exit(ExitCode.DONE if result.ready else ExitCode.MISSING)


def plan(
    context: typer.Context,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 4 when there are changes.")] = False,
) -> None:
    """Show what `up` would change.

    Secrets are never shown. Reports if `up` would refuse because data are gone.

    Example: ragops plan --exit-code
    """
    from ragops.cli.views import show_changes, show_versions
    from ragops.errors import MissingError
    from ragops.operations.lifecycle.data_guard import refuse_lost_data
    from ragops.operations.lifecycle.provision import plan as operation

    current = state(context)
    session = current.session()
    result = operation(session)
    try:
        refuse_lost_data(session)
    except MissingError as error:
        current.console.message(f"`ragops up` would refuse: {error.message}\n  → {error.hint}")
    current.console.document(result)
    show_changes(current.console, result.changes)
    show_versions(current.console, result.versions)
    if exit_code and result.changes:
        raise typer.Exit(ExitCode.CHANGES)


def up(
    context: typer.Context,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start with empty services if the data of the platform are gone.")
    ] = False,
    yes: Yes = False,
    lock_wait: LockWait = 0.0,
    repair_state: Annotated[
        bool, typer.Option("--repair-state", help="Keep a broken Pulumi state aside and take up again what runs.")
    ] = False,
) -> None:
    """Provision the platform, or repair it.

    Waits until it is healthy; safe to interrupt and to repeat. Asks before it replaces or removes anything. If data
    are gone that were there, or that recovery points have, it starts nothing and exits with 7.

    With --repair-state a Pulumi state that cannot be read, or that no passphrase opens, is set aside first: services
    and data are left as they are.

    Example: ragops up --yes
    """
    from ragops.cli.progress import steps
    from ragops.cli.views import jsonable, show_changes, show_versions
    from ragops.operations.lifecycle.data_guard import Empty
    from ragops.operations.lifecycle.provision import up as operation
    from ragops.units import duration

    current = state(context)
    console = current.console

    def confirm(found: Plan) -> bool:
        show_changes(console, found.changes)
        show_versions(console, found.versions)
        names = ", ".join(change.resource for change in found.disturbing)
        console.confirm(f"This replaces or removes {names}.", yes=False)
        return True

    def ask_to_repair(fault: StateFault) -> None:
        what = f"The Pulumi state {fault.file} cannot be used: {fault.reason}."
        console.confirm(f"{what} It is kept aside, and what runs is taken up again; no data are touched.", yes=yes)

    with steps(console, "up") as on_step:
        repair = ask_to_repair if repair_state else None
        empty = Empty.FRESH if fresh else Empty.REFUSE
        result = operation(current.session(lock_wait), None if yes else confirm, on_step, repair, empty=empty)
    endpoints = {name: endpoint.to_dict() for name, endpoint in result.endpoints.items()}
    console.document({**jsonable(result), "endpoints": endpoints})
    changed = len(result.changes)
    state_now = "up" if result.health.lacks_schema and not result.health.unsettled else result.health.status.value
    console.message(f"{state_now}: {changed or 'no'} change{'' if changed == 1 else 's'} in {duration(result.seconds)}")
    for service, check in result.health.unsettled:
        console.message(f"  {service} {check.name}: {check.detail}{f' → {check.hint}' if check.hint else ''}")
    if result.health.lacks_schema:
        console.message("next: `ragops migrate up`")


def down(
    context: typer.Context,
    purge_data: Annotated[bool, typer.Option("--purge-data", help="Remove the data as well, for good.")] = False,
    yes: Yes = False,
    lock_wait: LockWait = 0.0,
) -> None:
    """Stop every service; data stay.

    Only --purge-data removes them.

    Example: ragops down --yes
    """
    from ragops.cli.progress import steps
    from ragops.operations.lifecycle.provision import down as operation

    current = state(context)
    console = current.console
    session = current.session(lock_wait)
    environment = session.project.paths.environment
    if purge_data:
        console.confirm(f"This removes all data of environment {environment}.", yes=yes, expected=environment)
    else:
        console.confirm(f"This stops every service of environment {environment}.", yes=yes)
    with steps(console, "down") as on_step:
        result = operation(session, purge_data=purge_data, on_step=on_step)
    console.document(result)
    if not result.stopped:
        console.message("nothing is up")
    for folder in result.kept:
        console.message(f"kept {folder}")
    for folder in result.purged:
        console.message(f"removed {folder}")


def unlock(context: typer.Context, yes: Yes = False, lock_wait: LockWait = 0.0) -> None:
    """Release the lock of the Pulumi state, after showing who holds it.

    For a holder that is gone for good, such as a machine that was lost in the middle of `up`. A process of this machine
    that still runs keeps its lock.

    Example: ragops unlock --yes
    """
    from ragops.operations.lifecycle.pulumi_state import unlock as operation

    current = state(context)
    console = current.console

    def ask(holder: str) -> None:
        console.message(f"the Pulumi state is locked by {holder}")
        console.confirm("This takes the lock away. If its holder still works, both would write the state.", yes=yes)

    result = operation(current.session(lock_wait), ask)
    console.document(result)
    for holder in result.released:
        console.message(f"released: {holder}")
    if not result.released:
        console.message("the Pulumi state is not locked")
