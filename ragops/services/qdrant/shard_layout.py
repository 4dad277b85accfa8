"""The layout of a collection: how many shards it is cut into, and how many copies of each there are.

A search asks every shard once, and costs processor time for each; a node that has a copy of all shards answers alone.
So a collection that fits gets one shard with a copy on every node. docs/performance.md has the measurements.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.contract import Endpoint

# Three million vectors of 768 numbers: the index of a larger shard takes too long to build, move and load.
SHARD_BYTES = 3_000_000 * 768 * 4
_LEAST_NUMBERS = 128  # what a point costs besides its vector, in numbers of 4 bytes
_SAFE_COPIES = 2  # any one node may be lost
# In the metadata of a collection: the number of nodes when it got a copy on each. `up` follows the nodes while the
# replication factor is that number; another one was set by somebody.
EVERY_NODE = "ragops_copy_on_every_node"
# There, too: the number of points that a choice counted on, and the number of shards that somebody has set.
EXPECTED = "ragops_expected_points"
SHARDS_SET = "ragops_shards_set"


def least_copies(copies: int) -> int:
    """Return how many copies of a shard a write has to reach, its write_consistency_factor: half of them, rounded up.

    Of three copies two: a write that was acknowledged outlives the loss of any node for good, even if only one copy was
    active before the loss of another. Of two copies one, else no write would succeed while a node is away.
    """
    return (copies + 1) // 2


@dataclass(frozen=True)
class ShardLayout:
    """Shards of a collection and copies of each.

    `on_every_node`: more nodes are to mean more copies; `expected`: the points that it was chosen for; `is_set`: its
    number of shards was set by somebody.
    """

    shards: int
    copies: int
    on_every_node: bool = False
    expected: int = 0
    is_set: bool = False

    def placement(self) -> dict[str, Any]:
        """Return the parameters that create a collection so."""
        factors = {"shard_number": self.shards, "replication_factor": self.copies}
        return {**factors, "write_consistency_factor": least_copies(self.copies), "metadata": self.metadata()}

    def metadata(self) -> dict[str, Any]:
        """Return what the collection itself states of the choice."""
        noted = {EVERY_NODE: self.copies} if self.on_every_node else {}
        noted |= {SHARDS_SET: self.shards} if self.is_set else {}
        return noted | ({EXPECTED: self.expected} if self.expected else {})

    def __str__(self) -> str:
        shards = "1 shard" if self.shards == 1 else f"{self.shards} shards"
        copies = "1 copy" if self.copies == 1 else f"{self.copies} copies"
        return f"{shards} in {copies}{', one on every node' if self.on_every_node else ''}"


@dataclass(frozen=True)
class LayoutRules:
    """What decides on the layout of new collections: the `nodes`, and what is set for all collections, if it is."""

    nodes: int
    shards: int | None = None
    copies: int | None = None

    @classmethod
    def of(cls, endpoint: Endpoint) -> LayoutRules | None:
        """Return the rules of a cluster, None for a server that places shards by itself."""
        if not endpoint.nodes:
            return None
        shards, copies = (endpoint.options.get(key) for key in ("shard_number", "replication_factor"))
        return cls(len(endpoint.nodes), int(shards) if shards else None, int(copies) if copies else None)

    @property
    def least_copies(self) -> int:
        """Copies of every shard below which the loss of a node loses more than is wanted."""
        return self.copies or min(_SAFE_COPIES, self.nodes)

    def choose(self, points: int, numbers: int, shards: int | None = None) -> ShardLayout:
        """Return the layout of a collection of `points` vectors of so many `numbers`; `shards` are its own setting."""
        wanted = shards or self.shards or shards_for(points, numbers, self.nodes)
        is_set = bool(shards or self.shards)
        if self.copies:
            return ShardLayout(wanted, min(self.copies, self.nodes), expected=points, is_set=is_set)
        is_copied = wanted == 1 and self.nodes > 1
        copies = self.nodes if is_copied else min(_SAFE_COPIES, self.nodes)
        return ShardLayout(wanted, copies, is_copied, points, is_set)


def shards_for(points: int, numbers: int, nodes: int) -> int:
    """Return the number of shards for `points` vectors of so many `numbers` of 4 bytes.

    One if it holds them, else a multiple of the nodes, so that all have the same load.
    """
    needed = math.ceil(points * max(numbers, _LEAST_NUMBERS) * 4 / SHARD_BYTES)
    return 1 if needed <= 1 else math.ceil(needed / nodes) * nodes


def layout_of(info: Mapping[str, Any]) -> ShardLayout:
    """Return the layout from the answer to `GET /collections/NAME`."""
    params, noted = info["config"]["params"], info["config"].get("metadata") or {}
    shards, copies = int(params.get("shard_number") or 1), int(params.get("replication_factor") or 1)
    expected = noted.get(EXPECTED)
    return ShardLayout(
        shards,
        copies,
        on_every_node=is_on_every_node(params, noted),
        expected=expected if type(expected) is int else 0,
        is_set=noted.get(SHARDS_SET) == shards,
    )


def is_on_every_node(params: Mapping[str, Any], metadata: object) -> bool:
    """Return whether a collection with such parameters and metadata was made to have a copy on every node."""
    noted = metadata.get(EVERY_NODE) if isinstance(metadata, dict) else None
    return noted is not None and noted == params.get("replication_factor")


def numbers_of(info: Mapping[str, Any]) -> int:
    """Return how many numbers the vectors of a point have together, without sparse ones."""
    vectors = info["config"]["params"].get("vectors") or {}
    named = [vectors] if "size" in vectors else vectors.values()
    return sum(int(one["size"]) for one in named)


def following_nodes(info: Mapping[str, Any], nodes: int) -> dict[str, Any] | None:
    """Return the change for a collection that has a copy on every node to have one on each of `nodes`.

    None for a collection that has it already, or was given another number of copies.
    """
    found = layout_of(info)
    if not found.on_every_node or found.copies == nodes:
        return None
    factors = {"replication_factor": nodes, "write_consistency_factor": least_copies(nodes)}
    return {"params": factors, "metadata": {EVERY_NODE: nodes}}


def needs_every_copy(info: Mapping[str, Any]) -> bool:
    """Return whether no write succeeds while a node with one of several copies is away.

    So it is with 2 copies of an application that leaves the number of the servers, which is that of 3 copies.
    """
    copies = layout_of(info).copies
    return copies > 1 and int(info["config"]["params"].get("write_consistency_factor") or 1) >= copies


def worse_than_default(name: str, info: Mapping[str, Any], rules: LayoutRules) -> str:
    """Return what makes the layout of a collection worse than that of a new one, empty if nothing does.

    Too many shards make searches dear, too few do not hold its points. A number that somebody has set is no fault.
    """
    found, points = layout_of(info), int(info.get("points_count") or 0)
    wanted = rules.choose(max(points, found.expected), numbers_of(info))
    if found.shards == wanted.shards or found.is_set or rules.nodes == 1:
        return ""
    if found.shards > wanted.shards:
        return f"{name} has {found} for {points:,} points; a search asks every shard: {wanted} cost less"
    return f"{name} has {found} for {points:,} points: {wanted} would hold them better"
