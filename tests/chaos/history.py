"""What clients of a cluster did and saw, and whether a store that loses nothing may have answered so.

Every key has one owner, which writes it again only when the write before has ended. So the writes of a key are in one
order, and what a read may see follows from it without a search:

- a write that was answered holds from its answer on, until a later one is called;
- a write without an answer may take effect at any time after its call, or never: so does every attempt that a client
  gave up and repeated at another node;
- a node that is out (cut off, frozen, not yet whole again) may answer as of the beginning of its outage: it cannot see
  what the others have acknowledged since, so only a write that was acknowledged before holds there.

After the outage every node has to answer alike. The idea of open calls is that of Jepsen's `:info` operations; with one
writer for each key there is no need to look for an order.
"""

from __future__ import annotations

import bisect
import json
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

ANY_NODE = "*"
Kind = Literal["lost", "returned", "invented", "differs"]


@dataclass(frozen=True)
class Write:
    """An upsert of `version` or, with None, a delete; `end` is the time of the answer, None if there was none.

    Times are seconds of one monotonic clock.
    """

    key: int
    version: int | None
    start: float
    end: float | None


@dataclass(frozen=True)
class Read:
    """`version` is what a node (ANY_NODE: a client chose it) returned for the key, None if nothing."""

    key: int
    version: int | None
    node: str
    start: float
    end: float


@dataclass(frozen=True)
class Outage:
    """A node from the fault on until the cluster was whole again."""

    node: str
    start: float
    end: float


@dataclass(frozen=True)
class Violation:
    """What no store that loses nothing answers. `lost`: an acknowledged upsert is not there; `returned`: a deleted
    point is; `invented`: nobody wrote that; `differs`: nodes do not agree when all is over.
    """

    kind: Kind
    key: int
    detail: str


@dataclass(frozen=True)
class Verdict:
    """`stale` reads are allowed only because their node was out, `late` ones only by a write without an answer that
    was called before the newest answered one.
    """

    violations: tuple[Violation, ...]
    reads: int = 0
    stale: int = 0
    late: int = 0


@dataclass
class History:
    """All of one run; `final` are the reads when the cluster was whole and nobody wrote any more."""

    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    final: list[Read] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> History:
        values = json.loads(path.read_text())
        return cls(
            [Write(**one) for one in values["writes"]],
            [Read(**one) for one in values["reads"]],
            [Read(**one) for one in values["final"]],
            [Outage(**one) for one in values["outages"]],
        )


def check(history: History) -> Verdict:
    """Judge every read, and compare the nodes at the end."""
    registers = _registers(history.writes)
    violations: list[Violation] = []
    stale = late = 0
    for read in (*history.reads, *history.final):
        register = registers.get(read.key) or _Register(())
        verdict = register.judge(read, read.start)
        since = min((out.start for out in history.outages if _is_out(out, read)), default=read.start)
        if verdict is not None and since < read.start and register.judge(read, since) is None:
            stale += 1
        elif verdict is not None:
            violations.append(verdict)
        else:
            late += register.is_late(read)
    violations += _differences(history.final, registers)
    return Verdict(tuple(violations), len(history.reads) + len(history.final), stale, late)


def _is_out(outage: Outage, read: Read) -> bool:
    is_its_node = read.node == ANY_NODE or outage.node in (read.node, ANY_NODE)
    return is_its_node and outage.start <= read.end and read.start <= outage.end


def _registers(writes: Iterable[Write]) -> Mapping[int, _Register]:
    found: dict[int, list[Write]] = defaultdict(list)
    for write in writes:
        found[write.key].append(write)
    return {key: _Register(tuple(sorted(own, key=lambda write: write.start))) for key, own in found.items()}


class _Register:
    """The writes of one key, in the order of their calls."""

    def __init__(self, writes: Sequence[Write]) -> None:
        self._writes = writes
        answered = [(write.end, index) for index, write in enumerate(writes) if write.end is not None]
        self._ends = [end for end, _ in answered]
        self._indexes = [index for _, index in answered]

    def _base(self, time: float) -> int:
        """The place of the last write that was answered before `time`, -1 without one."""
        place = bisect.bisect_left(self._ends, time)
        return self._indexes[place - 1] if place else -1

    def _regular(self, read: Read, since: float) -> set[int | None]:
        """What a read may see, if every write took effect between its call and its answer, or right after its call."""
        base = self._base(since)
        newer = {write.version for write in self._writes[base + 1 :] if write.start <= read.end}
        return newer | {self._writes[base].version if base >= 0 else None}

    def _open(self, read: Read) -> set[int | None]:
        """What writes without an answer may still bring about."""
        return {write.version for write in self._writes if write.end is None and write.start <= read.end}

    def judge(self, read: Read, since: float) -> Violation | None:
        """The violation if a node that has seen all answers until `since` may not answer so."""
        allowed = self._regular(read, since) | self._open(read)
        if read.version in allowed:
            return None
        base = self._base(since)
        wanted = self._writes[base] if base >= 0 else None
        may = ", ".join(sorted(map(str, allowed)))
        what = f"{read.node} returned {read.version} at {read.start:.3f}-{read.end:.3f}, allowed is {may}"
        if read.version is not None and read.version not in {write.version for write in self._writes}:
            return Violation("invented", read.key, what)
        if wanted is not None and wanted.version is None:
            return Violation("returned", read.key, f"{what}; deleted at {wanted.end:.3f}")
        return Violation("lost", read.key, what)

    def is_late(self, read: Read) -> bool:
        """Whether only a write without an answer explains it, that was called before the newest answered one."""
        return read.version not in self._regular(read, read.start)

    def is_settled(self) -> bool:
        """Whether the last write was answered: the nodes have to agree on it then."""
        return not self._writes or self._writes[-1].end is not None


def _differences(final: Iterable[Read], registers: Mapping[int, _Register]) -> list[Violation]:
    seen: dict[int, dict[str, int | None]] = defaultdict(dict)
    for read in final:
        seen[read.key][read.node] = read.version
    return [
        Violation("differs", key, ", ".join(f"{node} has {version}" for node, version in sorted(nodes.items())))
        for key, nodes in sorted(seen.items())
        if len(set(nodes.values())) > 1 and (key not in registers or registers[key].is_settled())
    ]
