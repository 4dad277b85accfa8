"""Commands on the Qdrant cluster: cluster status, upgrade."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli.cluster_plans import run_planned
from ragops.cli.help import Application
from ragops.cli.reshard import reshard
from ragops.cli.state import state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.cli.console import Console
    from ragops.operations.cluster.status import ClusterStatus, NodeStatus, ShardStatus
    from ragops.operations.cluster.upgrade import UpgradePlan
    from ragops.services.qdrant.cluster.upgrade_plan import UpgradeStep

group = Application(help="The Qdrant cluster: nodes, shards, replicas.")
group.command()(reshard)

_SHOWN = 3


@group.command()
def status(
    context: typer.Context,
    shards: Annotated[bool, typer.Option("--shards", help="List every shard, not only the collections.")] = False,
) -> None:
    """Show nodes, shards, transfers, and what the loss of each node would cost.

    Points and sizes are the servers' own estimates. Only Docker runs a cluster; elsewhere it exits with 2.

    Example: ragops cluster status
    """
    from ragops.operations.cluster.status import status as operation

    current = state(context)
    found = operation(current.session())
    current.console.document(found)
    current.console.table(
        ("NODE", "ROLE", "VERSION", "REPLICAS", "POINTS", "SIZE", "WITHOUT IT"),
        [_node_row(node) for node in found.nodes],
        optional=("VERSION", "SIZE", "POINTS"),
    )
    _show_shards(context, found, shards=shards)
    for transfer in found.transfers:
        verb = "moves" if transfer.is_move else "is copied"
        what = f"{transfer.collection}/{transfer.shard} {verb} from {transfer.source} to {transfer.target}"
        current.console.message(f"{what} ({transfer.method})" if transfer.method else what)
    for node in found.nodes:
        if node.fault:
            current.console.message(f"{node.name}: {node.fault.removeprefix(f'{node.name} ')}")
    if found.pending:
        current.console.message(f"interrupted: continue with `{found.pending}`, or give it up: `ragops cluster cancel`")
    if found.free is not None:
        from ragops.units import size

        current.console.message(f"free on the disk of the nodes: {size(found.free)}")


@group.command()
def upgrade(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the steps, change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    lock_wait: Annotated[float, typer.Option(metavar="SECONDS", help="Wait this long for another run to end.")] = 0.0,
) -> None:
    """Upgrade the nodes to the version of ragops.yaml.

    Takes a recovery point, then goes through one minor version after the other, node by node, and waits before each
    node until every replica is active: reads and writes continue. A run that was killed is continued by the next one.

    Example: ragops cluster upgrade --dry-run
    """
    from ragops.operations.cluster.upgrade import plan as plan_operation
    from ragops.operations.cluster.upgrade import upgrade as operation

    result = run_planned(
        context,
        title="cluster upgrade",
        plan=lambda session, _show: plan_operation(session),
        act=operation,
        show=_show_plan,
        question=lambda found: f"This restarts {', '.join(found.versions)}, one after the other.",
        dry_run=dry_run,
        yes=yes,
        lock_wait=lock_wait,
    )
    if result is None:
        return
    console = state(context).console
    if not result.plan.steps:
        console.message(f"every node runs {result.plan.target} already")
        return
    if result.point:
        console.message(f"recovery point {result.point} is of the version before")
    console.message(f"{', '.join(result.versions)} run {result.plan.target}")


def _show_plan(console: Console, found: UpgradePlan) -> None:
    if found.resumes:
        console.message(f"an interrupted upgrade to {found.target} is continued")
    rows = [(str(number), step.action.value, step.node or "-", step.version) for number, step in _numbered(found)]
    console.table(("STEP", "ACTION", "NODE", "VERSION"), rows, empty=f"every node runs {found.target} already")


def _numbered(found: UpgradePlan) -> enumerate[UpgradeStep]:
    return enumerate(found.steps, start=1)


def _node_row(node: NodeStatus) -> tuple[str, ...]:
    from ragops.units import size

    size_text = size(node.size) if node.size is not None else "-"
    row = (node.name, node.role, node.version or "-", str(node.replicas), str(node.points), size_text)
    return (*row, _loss(node))


def _loss(node: NodeStatus) -> str:
    """Return what its loss would cost, the worst first."""
    from ragops.units import first_of

    found = []
    if node.would_lose:
        found.append(f"lost: {first_of(node.would_lose, _SHOWN)}")
    if not node.keeps_majority:
        found.append("no majority")
    if node.would_leave_single:
        found.append(f"one replica left: {first_of(node.would_leave_single, _SHOWN)}")
    return "; ".join(found) or "nothing is lost"


def _show_shards(context: typer.Context, found: ClusterStatus, *, shards: bool) -> None:
    console = state(context).console
    if shards:
        rows = [_shard_row(one) for one in found.shards]
        columns = ("COLLECTION", "SHARD", "KEY", "POINTS", "REPLICAS", "ON")
        console.table(columns, rows, optional=("KEY", "POINTS"))
        return
    names = dict.fromkeys(one.collection for one in found.shards)
    rows = [_collection_row(name, [one for one in found.shards if one.collection == name]) for name in names]
    console.table(("COLLECTION", "SHARDS", "REPLICAS", "POINTS", "STATE"), rows, empty="there are no collections")


def _shard_row(one: ShardStatus) -> tuple[str, ...]:
    states = [node if state == "Active" else f"{node} ({state})" for node, state in one.replicas.items()]
    copies = f"{len(one.replicas)} of {one.wanted}"
    key = "-" if one.key is None else str(one.key)
    return (one.collection, str(one.shard), key, str(one.points), copies, ", ".join(states))


def _collection_row(name: str, shards: Sequence[ShardStatus]) -> tuple[str, ...]:
    few = sum(len(one.replicas) < one.wanted for one in shards)
    many = sum(len(one.replicas) > one.wanted for one in shards)
    idle = [f"{one.shard} on {node} is {word}" for one in shards for node, word in one.replicas.items()
            if word != "Active"]  # fmt: skip
    faults = [*([f"{few} with too few replicas"] if few else []), *([f"{many} with more"] if many else []), *idle]
    points = sum(one.points for one in shards)
    return (name, str(len(shards)), str(shards[0].wanted), str(points), "; ".join(faults) or "ok")
