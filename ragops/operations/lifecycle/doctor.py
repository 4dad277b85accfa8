"""Looks at the machine before anything is provisioned: one line each, with a hint."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ragops.adapters.pulumi import install as pulumi_install
from ragops.adapters.pulumi.pins import ENGINE_HINT
from ragops.errors import RagopsError
from ragops.operations.lifecycle import watch_check
from ragops.operations.lifecycle.data_guard import refuse_lost_data
from ragops.operations.repositories import findings
from ragops.operations.schedule import boot
from ragops.operations.schedule.install import schedulers
from ragops.operations.session import Session
from ragops.runtimes import registry
from ragops.runtimes.checks import run_check
from ragops.services.contract import Check, Status
from ragops.units import size

if TYPE_CHECKING:
    from ragops.config.load import Project

_MIN_MEMORY_GB = 1


@dataclass(frozen=True)
class Diagnosis:
    """All findings; the machine is ready when none is down."""

    checks: tuple[Check, ...]

    @property
    def ready(self) -> bool:
        """Whether `up` can go through."""
        return all(check.status is not Status.DOWN for check in self.checks)


def examine(project: Project | None) -> Diagnosis:
    """Look at the machine and, if there is a project, at what it needs of the machine."""
    folder = project.paths.root if project else Path.cwd()
    checks = (
        _python(),
        _pulumi(),
        *(
            registry.host_of(project).doctor_checks()
            if project
            else registry.find(registry.DEFAULT).check_machine(folder)
        ),
        _memory(),
        _overcommit(),
        _huge_pages(),
        _clock(folder),
        *(findings(project) if project else ()),
        *(_data(project) if project else ()),
        *(watch_check.findings(project) if project else ()),
        *(boot.finding(project, schedulers()) if project else ()),
    )
    return Diagnosis(checks)


def _data(project: Project) -> tuple[Check, ...]:
    """Nothing while the data are there, or there never were any."""
    try:
        refuse_lost_data(Session(project, "ragops doctor", lambda _text: None))
    except RagopsError as error:
        return (Check("data", Status.DOWN, error.message, error.hint),)
    return ()


def _python() -> Check:
    return Check("python", Status.OK, f"{sys.version.split()[0]} at {sys.executable}")


def _pulumi() -> Check:
    def find() -> str:
        engine = pulumi_install.find()
        if engine is None:
            raise RagopsError("engine_missing", "not installed", ENGINE_HINT)
        return f"{engine.version} from {engine.source}"

    return run_check("pulumi", find)


def _memory() -> Check:
    free = psutil.virtual_memory().available
    status = Status.OK if free >= _MIN_MEMORY_GB * 2**30 else Status.DEGRADED
    hint = "" if status is Status.OK else "lower redis.maxmemory and timescaledb.shared_buffers"
    return Check("memory", status, f"{size(free)} available", hint)


def _overcommit() -> Check:
    value = _kernel("/proc/sys/vm/overcommit_memory")
    if value == "0":
        hint = "sysctl vm.overcommit_memory=1, else a background save of Redis can fail when memory is short"
        return Check("overcommit", Status.DEGRADED, "vm.overcommit_memory is 0", hint)
    return Check("overcommit", Status.OK, f"vm.overcommit_memory is {value}" if value else "unknown")


def _huge_pages() -> Check:
    value = _kernel("/sys/kernel/mm/transparent_hugepage/enabled")
    if "[always]" in value:
        hint = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, else Redis answers slowly while it saves"
        return Check("huge pages", Status.DEGRADED, "transparent huge pages are always on", hint)
    return Check("huge pages", Status.OK, "not forced")


def _clock(folder: Path) -> Check:
    """Check the clock: behind existing files it makes tokens, backups and retention wrong."""
    newest = max((path.stat().st_mtime for path in folder.iterdir()), default=0.0) if folder.is_dir() else 0.0
    if newest > time.time() + 60:
        return Check("clock", Status.DEGRADED, "the clock is behind files in this folder", "check the time service")
    return Check("clock", Status.OK, time.strftime("%Y-%m-%d %H:%M:%S %Z"))


def _kernel(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
