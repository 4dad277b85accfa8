"""How every command that changes the cluster runs: its plan is shown, asked about, carried out; or only shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ragops.cli.state import state

if TYPE_CHECKING:
    from collections.abc import Callable

    import typer

    from ragops.adapters.pulumi.events import OnStep
    from ragops.cli.console import Console
    from ragops.operations.cluster.moves import ChangePlan
    from ragops.operations.session import Session

P = TypeVar("P")
R = TypeVar("R")


def run_planned(
    context: typer.Context,
    *,
    title: str,
    plan: Callable[[Session, OnStep], P],
    act: Callable[[Session, Callable[[P], bool] | None, OnStep], R],
    show: Callable[[Console, P], None],
    question: Callable[[P], str],
    dry_run: bool,
    yes: bool,
    lock_wait: float,
) -> R | None:
    """Print what `act` returns as a document and return it; with `dry_run` print the plan, and return nothing.

    `act` shows its plan and asks `question` through the function that it gets, None with `yes`.
    """
    current = state(context)
    console = current.console
    from ragops.cli.progress import steps

    if dry_run:
        with steps(console, title) as on_step:
            found = plan(current.session(), on_step)
        console.document(found)
        show(console, found)
        return None

    def confirm(found: P) -> bool:
        show(console, found)
        console.confirm(question(found), yes=False)
        return True

    with steps(console, title) as on_step:
        result = act(current.session(lock_wait), None if yes else confirm, on_step)
    console.document(result)
    return result


def ask_up(console: Console) -> Callable[[Any], bool]:
    """Return what asks before `up` replaces or removes services."""

    def confirm(found: Any) -> bool:
        from ragops.cli.views import show_changes

        show_changes(console, found.changes)
        names = ", ".join(change.resource for change in found.disturbing)
        console.confirm(f"This replaces or removes {names}.", yes=False)
        return True

    return confirm


def show_change(console: Console, found: ChangePlan, empty: str = "nothing to do: all replicas are in place") -> None:
    """Print the steps, in their order, and what is not possible; `empty` if there are none."""
    if found.resumes:
        console.message("an interrupted run of this command is continued")
    for name, factor in found.factors.items():
        console.text(f"{name}: replication factor {factor}")
    rows = [
        (str(number), step.action, f"{step.collection}/{step.shard}", str(step.points), step.source, step.target or "-")
        for number, step in enumerate(found.steps, 1)
    ]
    columns = ("STEP", "ACTION", "SHARD", "POINTS", "FROM", "TO")
    console.table(columns, rows, optional=("POINTS",), empty="" if found.factors else empty)
    for text in found.blocked:
        console.message(f"not possible now: {text}")


def describe_steps(found: ChangePlan) -> str:
    """Return how many replicas the steps move or copy, and drop, and what one replica alone means."""
    copies = sum(step.action != "drop" for step in found.steps)
    single = [name for name, factor in found.factors.items() if factor == 1]
    risk = f" With one replica, the loss of a node loses shards of {', '.join(single)}." if single else ""
    return f"This moves or copies {copies} replicas and drops {len(found.steps) - copies}.{risk}"
