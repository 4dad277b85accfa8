"""A network of nodes that can be cut, inside namespaces that end with their first process.

`python -m tests.chaos.world` runs in mount, network and process namespaces of its own (`UNSHARE`): whatever ends it,
Ctrl-C and SIGKILL too, the kernel ends the nodes with it, and takes away their networks and mounts.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

UNSHARE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
_SUBNET = "10.77.0"
_BRIDGE = "chaos0"


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def host(number: int) -> str:
    """The address of node `number`, counted from 1."""
    return f"{_SUBNET}.{10 + number}"


def inside(number: int, *command: str) -> tuple[str, ...]:
    """The command line that runs in the network of a node."""
    return ("ip", "netns", "exec", _name(number), *command)


def _name(number: int) -> str:
    return f"node-{number}"


def build(numbers: Iterable[int]) -> None:
    """A bridge with one network for each node; call it in namespaces of `UNSHARE` only."""
    Path("/run/netns").mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", "/run/netns")  # the names of networks stay in this mount namespace
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", _BRIDGE, "type", "bridge")
    run("ip", "addr", "add", f"{_SUBNET}.1/24", "dev", _BRIDGE)
    run("ip", "link", "set", _BRIDGE, "up")
    for number in numbers:
        name, outer = _name(number), f"veth-{number}"
        run("ip", "netns", "add", name)
        run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", outer, "master", _BRIDGE, "up")
        run(*inside(number, "ip", "link", "set", "lo", "up"))
        run(*inside(number, "ip", "addr", "add", f"{host(number)}/24", "dev", "eth0"))
        run(*inside(number, "ip", "link", "set", "eth0", "up"))


def cut(one: int, other: int) -> None:
    """Nothing passes between two nodes any more, in neither direction; connections stay open."""
    for number, peer in ((one, other), (other, one)):
        run(*inside(number, "iptables", "-w", "-A", "INPUT", "-s", host(peer), "-j", "DROP"))


def mend(numbers: Iterable[int]) -> None:
    """Everything passes again."""
    for number in numbers:
        run(*inside(number, "iptables", "-w", "-F"))


def missing() -> str:
    """What keeps this machine from running the campaign, empty if nothing does."""
    if os.geteuid():
        return "root, for network namespaces and mounts"
    for program in ("unshare", "ip", "iptables"):
        if not any((Path(folder) / program).exists() for folder in (*os.get_exec_path(), "/usr/sbin", "/sbin")):
            return f"the program {program}"
    probe = ("sh", "-c", "ip link add probe0 type veth peer name probe1 && iptables -w -A INPUT -j DROP")
    done = subprocess.run((*UNSHARE, *probe), capture_output=True, text=True, timeout=30, check=False)
    return f"network namespaces ({done.stderr.strip()[:100]})" if done.returncode else ""
