"""Commands on what is started at boot: service install, show, stop, start, remove."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ragops.cli.help import Application
from ragops.cli.lifecycle import LockWait
from ragops.cli.state import state

group = Application(help="The platform started at boot (embedded runtime).")
_BOOT_WAIT = 300.0  # seconds: the nightly run may have begun just before


@group.command()
def install(
    context: typer.Context,
    scheduler: Annotated[
        str, typer.Option("--with", metavar="NAME", help="cron or systemd; systemd if it runs and none is named.")
    ] = "",
) -> None:
    """Have the platform started at boot by systemd, or by cron's @reboot.

    As a unit of the system if you are root, else as one of your own, or in your own crontab; other lines stay as
    they are, and installing again replaces what was installed. Containers need none: their restart policy does it.

    Example: ragops service install --with cron
    """
    from ragops.operations.schedule import boot
    from ragops.operations.schedule import install as schedule
    from ragops.operations.schedule.scheduler_files import Schedule

    current = state(context)
    session = current.session()
    project = session.project
    boot.refuse_runtime(project)
    wanted = Schedule(project.settings.name, project.paths.environment, project.config, sys.executable)
    with session.changing(("schedule",)):
        done = boot.install(wanted, schedule.schedulers(), scheduler)
    current.console.document(done)
    current.console.text(done.text.rstrip("\n"))
    for note in done.notes:
        current.console.message(f"note: {note}")
    current.console.message(f"installed with {done.scheduler}: it starts the platform at the next boot")


@group.command()
def show(context: typer.Context) -> None:
    """Show what starts the platform at boot.

    Exits with 7 if nothing is installed.

    Example: ragops service show
    """
    from ragops.operations.schedule import boot
    from ragops.operations.schedule import install as schedule

    current = state(context)
    project = current.project()
    boot.refuse_runtime(project)
    found = boot.show(project, schedule.schedulers())
    current.console.document(found)
    for item in found:
        current.console.text(item.text.rstrip("\n"))
        current.console.message(f"installed with {item.scheduler}")


@group.command()
def stop(context: typer.Context, lock_wait: LockWait = 0.0) -> None:
    """Stop what runs, as systemd has it done before the machine goes down.

    Unlike `ragops down` it leaves everything provisioned: `ragops service start` has it run again.

    Example: ragops service stop
    """
    from ragops.operations.schedule import boot

    current = state(context)
    done = boot.stop(current.session(lock_wait or _BOOT_WAIT))
    current.console.document({"stopped": list(done)})
    current.console.message(f"stopped {', '.join(done)}" if done else "nothing ran")


@group.command()
def start(context: typer.Context, lock_wait: LockWait = 0.0) -> None:
    """Start what was provisioned and does not run: what the unit or cron runs at boot.

    Applies nothing of ragops.yaml that `ragops up` has not, and refuses services whose data are gone.

    Example: ragops service start
    """
    from ragops.cli.progress import steps
    from ragops.operations.schedule import boot

    current = state(context)
    with steps(current.console, "start") as on_progress:
        done = boot.start(current.session(lock_wait or _BOOT_WAIT), on_progress)
    current.console.document({"started": list(done)})
    current.console.message(f"started {', '.join(done)}" if done else "everything runs already")


@group.command()
def remove(context: typer.Context) -> None:
    """Have nothing start the platform at boot any more.

    Takes out exactly what was installed for this project and environment; what runs keeps running.

    Example: ragops service remove
    """
    from ragops.operations.schedule import boot
    from ragops.operations.schedule import install as schedule

    current = state(context)
    session = current.session()
    with session.changing(("schedule",)):
        gone = boot.remove(session.project, schedule.schedulers())
    current.console.document({"removed": list(gone)})
    current.console.message(f"removed from {' and '.join(gone)}" if gone else "nothing was installed")
