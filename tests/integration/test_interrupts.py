"""`up` and `down` ended at several points, each followed by an `up` that completes as if nothing had been."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.command_line import Project

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.fault]

SERVICES = ("redis", "timescaledb", "qdrant", "api", "gateway")


class Victim(Project):
    """A project whose commands are ended half-way; it was up once, so its data and schema are there."""

    def __init__(self, root: Path, ragops: Any, processes_of: Any, wait_until: Any) -> None:
        super().__init__(root, ragops)
        self._processes_of, self._wait_until, self.state = processes_of, wait_until, root / ".ragops"

    # --- points, found by what can be seen ------------------------------------------------------------------------

    def locked(self) -> bool:
        return (self.state / "locks" / "default" / "backup.holder.json").exists()

    def engine_runs(self) -> bool:
        return any("pulumi" in _name(process) for process in self._processes_of(self.root))

    def a_service_runs(self) -> bool:
        return any(self.record(service).exists() for service in SERVICES)

    def a_service_is_gone(self) -> bool:
        return not all(self.record(service).exists() for service in SERVICES)

    def provisioned(self) -> bool:
        return (self.state / "run" / "default" / "endpoints.json").exists()

    def initialising(self) -> bool:
        return any((self.state / "data" / "default").glob("timescaledb.init-*/*"))

    def record(self, service: str) -> Path:
        return self.state / "run" / "default" / service / "process.json"

    # --- what is done to it ---------------------------------------------------------------------------------------

    def stop_services(self) -> None:
        """Kill both engines and remove what tells that they were up: the next `up` has all of it to do."""
        for service in SERVICES:
            with contextlib.suppress(OSError):
                os.kill(json.loads(self.record(service).read_text())["pid"], signal.SIGKILL)
        self._wait_until(lambda: not self._processes_of(self.state / "data"), what="the engines' end")
        for service in SERVICES:
            self.record(service).unlink(missing_ok=True)
        (self.state / "run" / "default" / "endpoints.json").unlink(missing_ok=True)

    def interrupt(self, command: str, point: Callable[[], object], number: signal.Signals) -> subprocess.Popen[str]:
        """Run `command --yes` up to `point`, signal it, wait for its end."""
        process = self.ragops.start(command, "--yes", cwd=self.root)
        try:
            self._wait_until(lambda: point() or process.poll() is not None, 60, "the point")
            assert process.poll() is None, "it was over before"
            process.send_signal(number)
            process.wait(timeout=90)
        finally:
            if process.poll() is None:
                process.kill()
            process.out, process.err = process.communicate(timeout=60)  # type: ignore[attr-defined]
        return process

    # --- what must hold afterwards -------------------------------------------------------------------------------

    def orphans(self) -> list[str]:
        """What runs for the project beside its services."""
        services = {int(item["ident"]) for item in self.run("status", "--json").json()["services"]}
        children = {child.pid for pid in services for child in psutil.Process(pid).children(recursive=True)}
        return [str(item) for item in self._processes_of(self.root) if item.pid not in services | children]

    def assert_up_completes(self, *, migrate: bool = False) -> None:
        values = self.run("up", "--yes", "--json").json()
        assert {probe["service"] for probe in values["health"]["probes"]} >= set(SERVICES)
        if migrate:
            self.run("migrate", "up")
        assert self.run("health", "--json").json()["status"] == "ok"
        assert self.run("plan", "--exit-code").out.strip() == "no changes"
        self._wait_until(lambda: not self.orphans(), 20, "the end of all orphans")
        assert not list(self.state.glob("locks/default/*.holder.json"))
        assert not [path for path in self.state.glob("pulumi/default/state/.pulumi/locks/**/*") if path.is_file()]


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return process.name()
    return ""


@pytest.fixture(scope="module")
def victim(module_project: Path, ragops: Any, processes_of: Any, wait_until: Any) -> Iterator[Victim]:
    victim = Victim(module_project, ragops, processes_of, wait_until)
    yield victim
    ragops("down", "--yes", cwd=module_project)


@pytest.mark.campaign
def test_killed_while_the_database_is_initialised(victim: Victim) -> None:
    """The very first `up`. The other tests go on with what this one leaves."""
    victim.interrupt("up", victim.initialising, signal.SIGKILL)
    victim.assert_up_completes(migrate=True)


@pytest.mark.campaign(of="later ones", sample=1)
@pytest.mark.parametrize("point", ["locked", "engine_runs", "a_service_runs", "provisioned"])
def test_up_killed(victim: Victim, point: str) -> None:
    victim.stop_services()
    process = victim.interrupt("up", getattr(victim, point), signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    victim.assert_up_completes()


@pytest.mark.campaign(of="later ones", sample=1)
@pytest.mark.parametrize(
    ("point", "number"),
    [
        ("locked", signal.SIGINT),
        ("a_service_runs", signal.SIGINT),
        ("provisioned", signal.SIGINT),
        ("a_service_runs", signal.SIGTERM),
    ],
)
def test_up_interrupted(victim: Victim, point: str, number: signal.Signals) -> None:
    victim.stop_services()
    process = victim.interrupt("up", getattr(victim, point), number)
    assert process.returncode == 130, process.err  # type: ignore[attr-defined]
    assert "interrupted" in process.err  # type: ignore[attr-defined]
    assert not victim.engine_runs(), "the engine ended before ragops did"
    victim.assert_up_completes()


@pytest.mark.campaign(of="later ones", sample=1)
@pytest.mark.parametrize(("point", "number"), [("engine_runs", signal.SIGKILL), ("a_service_is_gone", signal.SIGINT)])
def test_down_interrupted(victim: Victim, point: str, number: signal.Signals) -> None:
    victim.run("up", "--yes")
    process = victim.interrupt("down", getattr(victim, point), number)
    assert process.returncode == (-number if number is signal.SIGKILL else 130), process.err  # type: ignore[attr-defined]
    victim.assert_up_completes()


@pytest.mark.campaign(of="later ones", sample=1)
def test_down_after_everything_was_killed_leaves_nothing(victim: Victim, processes_of: Any) -> None:
    """ragops, engine and provider die at once, as in a crash of the machine: no state knows what was started."""
    victim.run("down", "--yes")
    process = victim.ragops.start("up", "--yes", cwd=victim.root)
    victim._wait_until(lambda: victim.record("redis").exists(), 60, "the first service")
    for item in processes_of(victim.root):
        if "pulumi" in _name(item) or "pulumi" in " ".join(_command(item)):
            with contextlib.suppress(psutil.Error):
                item.kill()
    process.kill()
    process.communicate(timeout=60)
    assert processes_of(victim.state / "run"), "else this test shows nothing"
    victim.run("down", "--yes")
    assert not processes_of(victim.root)


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()[:4]
    return []
