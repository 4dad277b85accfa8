"""Commands on the Qdrant cluster: cluster status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ragops.cli.help import Application
from ragops.cli.state import state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.operations.cluster.status import ClusterStatus, NodeStatus, ShardStatus

group = Application(help="The Qdrant cluster: nodes, shards, replicas.")

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
            current.console.message(f"{node.name}: {node.fault}")
    if found.free is not None:
        from ragops.units import size

        current.console.message(f"free on the disk of the nodes: {size(found.free)}")


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
