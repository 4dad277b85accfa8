"""Started at boot: the very line of the crontab and the very command of the unit, nothing of an environment, from /."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from ragops.adapters.scheduler.cron import Crontab
from ragops.adapters.scheduler.systemd import UnitFolder
from ragops.operations.schedule import boot
from ragops.operations.schedule.entries import Schedulers
from ragops.operations.schedule.scheduler_files import Schedule
from tests.command_line import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.loaded_platform import Loaded

SERVICES = {"redis", "timescaledb", "qdrant", "api", "gateway"}
BARE = {"HOME": "/", "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "root"}
CRONTAB = """#!/bin/sh
file="$(dirname "$0")/table"
case "$1" in
-l) if [ -e "$file" ]; then cat "$file"; else echo "no crontab for someone" >&2; exit 1; fi ;;
-) cat > "$file" ;;
esac
"""
SYSTEMCTL = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/told"
"""
OTHERS = "# mine\n5 4 * * * echo hello % there\n@reboot echo mine"  # and no line break at its end


@dataclass
class Machine:
    """Programs `crontab` and `systemctl` of nobody, in a folder that comes first in PATH."""

    folder: Path

    @property
    def table(self) -> Path:
        """What the crontab holds."""
        return self.folder / "table"

    def path(self) -> str:
        """PATH with them."""
        return f"{self.folder}:{os.environ['PATH']}"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("crontab", CRONTAB), ("systemctl", SYSTEMCTL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    found = Machine(folder)
    monkeypatch.setenv("PATH", found.path())
    return found


# --- what is installed, shown and taken out -------------------------------------------------------------------------


def test_other_lines_of_the_crontab_stay_byte_for_byte(project: Path, ragops: Any, machine: Machine) -> None:
    machine.table.write_text(OTHERS)
    for _ in range(2):
        done = ragops("service", "install", "--with", "cron", cwd=project)
        assert done.code == 0, done.err
    text = machine.table.read_text()
    assert text.startswith(OTHERS)
    assert text.count("# BEGIN ragops service") == 1
    line = next(line for line in text.splitlines() if "ragops" in line and line.startswith("@reboot"))
    assert str(project / "ragops.yaml") in line
    shown = ragops("service", "show", cwd=project)
    assert line in shown.out
    nightly = ragops("backup", "schedule", "install", "--with", "cron", cwd=project)
    assert nightly.code == 0, nightly.err
    assert "started by cron" in ragops("doctor", cwd=project).out
    assert ragops("service", "remove", cwd=project).code == 0
    assert "ragops service" not in machine.table.read_text()
    assert "backup schedule" in machine.table.read_text(), "the nightly run is another thing"
    assert machine.table.read_text().startswith(OTHERS)
    assert ragops("service", "show", cwd=project).code == 7
    assert "ragops service install" in ragops("doctor", cwd=project).out


def test_a_damaged_block_is_left_alone(project: Path, ragops: Any, machine: Machine) -> None:
    machine.table.write_text(f"# BEGIN ragops service: default {project}/ragops.yaml\n@reboot echo mine\n")
    before = machine.table.read_text()
    done = ragops("service", "install", "--with", "cron", "--json", cwd=project)
    assert (done.code, done.json()["error"]["code"]) == (1, "crontab_damaged")
    assert machine.table.read_text() == before


def test_containers_need_none(project: Path, ragops: Any, machine: Machine) -> None:
    config = project / "ragops.yaml"
    config.write_text(re.sub(r"^runtime: .*$", "runtime: docker", config.read_text(), flags=re.MULTILINE))
    for words in (("install",), ("show",), ("start",), ("stop",)):
        done = ragops("service", *words, "--json", cwd=project)
        assert (done.code, done.json()["error"]["code"]) == (2, "boot_by_docker")
        assert "restart policy" in done.json()["error"]["message"]
    assert not machine.table.exists()


@pytest.mark.parametrize("system", [True, False])
def test_the_unit_is_enabled_and_taken_out(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch, system: bool
) -> None:
    monkeypatch.setattr("ragops.adapters.scheduler.systemd._RUNNING", tmp_path)
    (tmp_path / "systemd").mkdir()
    (tmp_path / "systemd" / "private").touch()
    units = UnitFolder(tmp_path / "units", system, tmp_path)
    units.folder.mkdir()
    (units.folder / "ragops-other.service").write_text("# somebody's\n")
    wanted = Schedule("rag", "default", tmp_path / "a b" / "ragops.yaml", "/usr/bin/python3")
    entry = boot._entry("default", wanted.config)
    installed = boot.install(wanted, Schedulers(Crontab(), units), "systemd")
    assert installed.text == (units.folder / "ragops-rag-default.boot.service").read_text()
    text = units.read()["ragops-rag-default.boot.service"]
    assert f"WantedBy={'multi-user' if system else 'default'}.target" in text
    assert 'ExecStop="/usr/bin/python3"' in text
    told = (machine.folder / "told").read_text()
    assert "enable ragops-rag-default.boot.service" in told
    assert "restart" not in told
    assert entry._remove_units(units)
    assert "disable ragops-rag-default.boot.service" in (machine.folder / "told").read_text()
    assert set(units.read()) == {"ragops-other.service"}
    assert not entry._remove_units(units)


# --- it really starts ------------------------------------------------------------------------------------------------


@pytest.fixture
def up(loaded: Loaded) -> Path:
    return loaded.root


def machine_goes_down(project: Path, ragops: Any, wait_until: Callable[..., None]) -> None:
    """Everything is gone at once, as when the power fails."""
    found = Project(project, ragops).pids()
    assert set(found) == SERVICES
    for pid in found.values():
        os.killpg(pid, signal.SIGKILL)
    wait_until(lambda: not any(psutil.pid_exists(pid) and _lives(pid) for pid in found.values()))


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def bare(command: str) -> subprocess.CompletedProcess[str]:
    """As cron starts it: its own few variables, from /."""
    return subprocess.run(
        ["/bin/sh", "-c", command], env=BARE, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip


@pytest.mark.engine
def test_the_line_of_the_crontab_brings_the_platform_up(
    up: Path, ragops: Any, machine: Machine, wait_until: Callable[..., None]
) -> None:
    assert ragops("service", "install", "--with", "cron", cwd=up).code == 0
    line = next(line for line in machine.table.read_text().splitlines() if line.startswith("@reboot "))
    command = line.removeprefix("@reboot ").replace("\\%", "%")
    before = ragops("outputs", "--json", "--show-secrets", cwd=up).json()
    machine_goes_down(up, ragops, wait_until)
    done = bare(command)
    assert done.returncode == 0, done.stderr
    assert set(Project(up, ragops).pids()) == SERVICES
    assert ragops("outputs", "--json", "--show-secrets", cwd=up).json() == before
    health = ragops("health", "--json", cwd=up).json()
    assert {probe["service"] for probe in health["probes"] if probe["checks"][0]["status"] == "down"} == set()
    running = Project(up, ragops).pids()
    assert bare(command).returncode == 0
    assert Project(up, ragops).pids() == running, "what runs is left alone"
    assert ragops("plan", "--exit-code", cwd=up).code == 0, "it is as it was provisioned"


@pytest.mark.engine
def test_the_unit_stops_and_starts_it(up: Path, ragops: Any) -> None:
    wanted = Schedule("rag", "default", up / "ragops.yaml", ragops.command()[0])
    _, text = boot.unit_text(wanted, system=True)
    commands = {
        key: value.replace("$$", "$").replace("%%", "%") for key, value in re.findall(r"^(Exec\w+)=(.*)$", text, re.M)
    }
    assert set(Project(up, ragops).pids()) == SERVICES
    done = bare(shlex.join(shlex.split(commands["ExecStop"])))
    assert done.returncode == 0, done.stderr
    assert Project(up, ragops).pids() == {}
    done = bare(shlex.join(shlex.split(commands["ExecStart"])))
    assert done.returncode == 0, done.stderr
    assert set(Project(up, ragops).pids()) == SERVICES


@pytest.mark.engine
def test_a_disk_that_is_not_mounted_is_not_begun_anew(up: Path, ragops: Any) -> None:
    assert ragops("service", "stop", cwd=up).code == 0
    data = up / ".ragops" / "data"
    aside = data.with_name("elsewhere")
    data.rename(aside)
    try:
        done = ragops("service", "start", "--json", cwd=up)
        assert done.code != 0
        assert done.json()["error"]["code"] == "data_gone"
        assert not list(data.rglob("PG_VERSION")) if data.exists() else True
    finally:
        if data.exists():
            for left in sorted(data.rglob("*"), reverse=True):
                left.rmdir() if left.is_dir() else left.unlink()
            data.rmdir()
        aside.rename(data)
    assert ragops("service", "start", cwd=up).code == 0
    assert set(Project(up, ragops).pids()) == SERVICES
