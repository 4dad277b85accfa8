"""What happens to a node: a fault is injected, lasts, and is healed; `out` are the nodes whose answers may be old."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos import network
from tests.chaos.nodes import COMPILER

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.chaos.nodes import Nodes

DISK_NODE = 3  # its storage is a small file system, which the fault fills
DISK_BYTES = 1 << 30
_CGROUP = Path("/sys/fs/cgroup/blkio")


@dataclass(frozen=True)
class Fault:
    """`seconds` is how long it lasts; `returns` whether the node's process is another one after it."""

    kind: str
    targets: tuple[int, ...]
    out: tuple[int, ...]
    inject: Callable[[], None]
    heal: Callable[[], None]
    seconds: float


def draw(kind: str, nodes: Nodes, dice: Random, lasts: float | None = None) -> Fault:
    """Return a fault of the kind; half of them meet the leader. It takes `lasts` seconds, or as its kind usually."""
    leader = nodes.leader()
    others = [number for number in nodes.numbers if number != leader]
    target = leader if dice.random() < 0.5 else dice.choice(others)
    seconds = dice.uniform(*_SECONDS[kind]) if lasts is None else lasts
    return _MAKERS[kind](nodes, target, dice, seconds)


def why_not(kind: str) -> str:
    """Why this machine cannot have a fault, empty if it can."""
    if kind == "clock" and COMPILER is None:
        return "a C compiler"
    if kind == "slow disk" and not (_CGROUP / "blkio.throttle.write_iops_device").exists():
        return "limits of a disk by cgroups (blkio)"
    return ""


def _nothing(_nodes: Nodes, _target: int, _dice: Random, seconds: float) -> Fault:
    return Fault("nothing", (), (), lambda: None, lambda: None, seconds)


def _kill(nodes: Nodes, target: int, _dice: Random, seconds: float) -> Fault:
    return Fault(
        "kill", (target,), (target,), lambda: nodes.stop(target, signal.SIGKILL), lambda: nodes.start(target), seconds
    )


def _stop(nodes: Nodes, target: int, _dice: Random, seconds: float) -> Fault:
    return Fault(
        "stop", (target,), (target,), lambda: nodes.stop(target, signal.SIGTERM), lambda: nodes.start(target), seconds
    )


def _pause(nodes: Nodes, target: int, _dice: Random, seconds: float) -> Fault:
    return Fault(
        "pause", (target,), (target,),
        lambda: nodes.send(target, signal.SIGSTOP), lambda: nodes.send(target, signal.SIGCONT), seconds,
    )  # fmt: skip


def _cut(nodes: Nodes, target: int, dice: Random, seconds: float) -> Fault:
    other = dice.choice([number for number in nodes.numbers if number != target])
    pair = (target, other)
    return Fault("cut", pair, pair, lambda: network.cut(*pair), lambda: network.mend(nodes.numbers), seconds)


def _isolate(nodes: Nodes, target: int, _dice: Random, seconds: float) -> Fault:
    def inject() -> None:
        for number in nodes.numbers:
            if number != target:
                network.cut(target, number)

    return Fault("isolate", (target,), (target,), inject, lambda: network.mend(nodes.numbers), seconds)


def _fill(nodes: Nodes, _target: int, dice: Random, seconds: float) -> Fault:
    ballast = nodes.home(DISK_NODE) / "storage" / "ballast"
    left = dice.choice((0, 1 << 20, 8 << 20))

    def inject() -> None:
        free = os.statvfs(ballast.parent)
        with ballast.open("wb") as file, suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - left))

    def heal() -> None:
        """As `ragops health` advises: consensus that could not write its state stops until the node is restarted."""
        ballast.unlink()
        if not nodes.has_consensus(DISK_NODE):
            nodes.stop(DISK_NODE, signal.SIGTERM)
            nodes.start(DISK_NODE)

    return Fault("full disk", (DISK_NODE,), (DISK_NODE,), inject, heal, seconds)


def _clock(nodes: Nodes, target: int, dice: Random, seconds: float) -> Fault:
    step = dice.choice((1, -1)) * dice.choice((5, 3600, 30 * 86400))
    home = nodes.home(target)
    return Fault(
        f"clock {step:+}",
        (target,),
        (),
        lambda: nodes.set_clock(home, step),
        lambda: nodes.set_clock(home, 0),
        seconds,
    )


def _slow(nodes: Nodes, target: int, dice: Random, seconds: float) -> Fault:
    """So few writes a second reach the disk of one node; the storage of DISK_NODE is no disk."""
    if target == DISK_NODE:
        target = dice.choice([number for number in nodes.numbers if number != DISK_NODE])
    group, limit = _CGROUP / f"ragops-chaos-{os.environ['RAGOPS_CHAOS']}", dice.choice((2, 5, 10))
    device = nodes.home(target).stat().st_dev
    line = f"{os.major(device)}:{os.minor(device)}"

    def inject() -> None:
        group.mkdir(exist_ok=True)
        (group / "blkio.throttle.write_iops_device").write_text(f"{line} {limit}\n")
        (group / "cgroup.procs").write_text(f"{nodes.processes[target].pid}\n")

    def heal() -> None:
        (group / "blkio.throttle.write_iops_device").write_text(f"{line} 0\n")
        (_CGROUP / "cgroup.procs").write_text(f"{nodes.processes[target].pid}\n")

    return Fault(f"slow disk {limit}/s", (target,), (), inject, heal, seconds)


KINDS = ("kill", "stop", "pause", "cut", "isolate", "full disk", "clock", "slow disk")
_MAKERS = {
    "nothing": _nothing, "kill": _kill, "stop": _stop, "pause": _pause, "cut": _cut, "isolate": _isolate,
    "full disk": _fill, "clock": _clock, "slow disk": _slow,
}  # fmt: skip
_SECONDS = {
    "nothing": (5.0, 5.0), "kill": (1.0, 4.0), "stop": (0.5, 3.0), "pause": (2.0, 9.0), "cut": (3.0, 8.0),
    "isolate": (3.0, 8.0), "full disk": (2.0, 5.0), "clock": (2.0, 4.0), "slow disk": (3.0, 6.0),
}  # fmt: skip
