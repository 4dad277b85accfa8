"""Processor time and memory of the services of a platform, by service, on either runtime."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from measure import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RAGOPS = str(Path(sys.executable).with_name("ragops"))


@dataclass(frozen=True)
class Usage:
    """Seconds of processor time since the start, and bytes of resident memory, of all processes of a service."""

    cpu: float
    memory: int


class Services:
    """The processes of every service of the platform in a folder."""

    def __init__(self, folder: Path) -> None:
        self._roots: dict[str, list[int]] = {}
        found = json.loads(run([RAGOPS, "--json", "status"], folder).stdout)
        for one in found["services"]:
            self._roots.setdefault(str(one["service"]), []).append(_pid(str(one["ident"])))

    def usage(self) -> Mapping[str, Usage]:
        """Return what each service has used, with its processes as they are now."""
        found = {}
        for service, roots in self._roots.items():
            processes = {process.pid: process for root in roots for process in _tree(root)}
            found[service] = _add(processes.values())
        return found


def _pid(ident: str) -> int:
    """Return the process: what it is called by is a process itself, or a container."""
    if ident.isdigit() and psutil.pid_exists(int(ident)):
        return int(ident)
    command = ["docker", "inspect", "--format", "{{.State.Pid}}", ident]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)


def _tree(root: int) -> Iterator[psutil.Process]:
    with suppress(psutil.Error):
        process = psutil.Process(root)
        yield process
        yield from process.children(recursive=True)


def _add(processes: object) -> Usage:
    cpu, memory = 0.0, 0
    for process in processes:  # type: ignore[attr-defined]
        with suppress(psutil.Error):
            times = process.cpu_times()
            cpu += times.user + times.system
            memory += process.memory_info().rss
    return Usage(cpu, memory)
