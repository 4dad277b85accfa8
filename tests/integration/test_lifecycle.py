"""One platform from init to its removal, through the command line, on the real engines."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.command_line import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.engine]

SERVICES = {"redis", "timescaledb", "qdrant", "api", "gateway"}
RESOURCES = {*SERVICES, "gateway-config"}


class Platform(Project):
    """The project that all tests of this module share, in their order."""

    def redis(self, *words: str) -> str:
        """One command to Valkey as an application sends it."""
        values = self.run("outputs", "--json", "--show-secrets").json()
        with socket.create_connection((values["REDIS_HOST"], int(values["REDIS_PORT"])), 5) as connection:
            login = f"AUTH {values['REDIS_USER']} {values['REDIS_PASSWORD']}\r\n"
            connection.sendall(f"{login}{' '.join(words)}\r\nPING\r\n".encode())
            answer = b""
            while not answer.endswith(b"+PONG\r\n"):
                answer += connection.recv(1000)
        return answer.decode().removeprefix("+OK\r\n").removesuffix("+PONG\r\n").strip()


@pytest.fixture(scope="module")
def platform(module_project: Path, ragops: Any) -> Iterator[Platform]:
    platform = Platform(module_project, ragops)
    yield platform
    ragops("down", "--yes", cwd=module_project)


def test_doctor_finds_the_machine_ready(platform: Platform) -> None:
    assert platform.run("doctor", "--json").json()["ready"] is True


def test_plan_shows_what_will_be_made(platform: Platform) -> None:
    done = platform.run("plan", "--exit-code", code=4)
    assert sorted(done.out.splitlines()) == sorted([*(f"+ {name}: create" for name in RESOURCES), "6 changes"])


def test_up_makes_it_and_waits_until_it_is_healthy(platform: Platform) -> None:
    values = platform.run("up", "--yes", "--json").json()
    assert {change["resource"]: change["action"] for change in values["changes"]} == dict.fromkeys(RESOURCES, "create")
    assert values["health"]["probes"]
    assert platform.redis("SET", "kept", "1") == "+OK"
    platform.run("migrate", "up")
    assert platform.run("health", "--json").json()["status"] == "ok"


@pytest.mark.parametrize("command", [("logs", "redis", "--follow"), ("health", "--watch"), ("logs", "redis", "-f")])
def test_an_interrupt_is_how_a_command_that_follows_ends(platform: Platform, ragops: Any, command: Any) -> None:
    following = ragops.start(*command, cwd=platform.root)
    assert following.stdout.readline()
    following.send_signal(signal.SIGINT)
    _, err = following.communicate(timeout=30)
    assert (following.returncode, err) == (0, "")


def test_a_second_up_changes_nothing(platform: Platform) -> None:
    before = platform.pids()
    assert platform.run("up", "--json").json()["changes"] == []
    assert platform.pids() == before
    assert platform.run("plan", "--exit-code").out.strip() == "no changes"


def test_status_says_what_runs_and_where(platform: Platform) -> None:
    services = platform.run("status", "--json").json()["services"]
    assert {item["service"] for item in services} == SERVICES
    for item in services:
        assert item["state"] == "running"
        assert psutil.Process(int(item["ident"])).is_running()
        assert re.fullmatch(r"127\.0\.0\.1:\d+", item["address"])


def test_no_drift(platform: Platform) -> None:
    assert platform.run("drift").out.strip() == "no drift"


@pytest.mark.fault
def test_a_killed_service_is_noticed_planned_and_repaired(platform: Platform) -> None:
    before = platform.pids()
    os.kill(before["redis"], signal.SIGKILL)
    assert "redis: stopped" in platform.run("drift", code=4).out
    assert platform.run("health", "redis", code=3)
    planned = platform.run("plan", "--exit-code", code=4).out
    assert "~ redis: update" in planned
    assert "is stopped" in planned
    assert "timescaledb" not in planned
    platform.run("up", "--yes")
    after = platform.pids()
    assert after["redis"] != before["redis"]
    assert after["timescaledb"] == before["timescaledb"], "nothing else was touched"
    assert platform.redis("GET", "kept") == "$1\r\n1"
    assert platform.run("drift").out.strip() == "no drift"


def test_a_change_is_shown_as_a_diff_and_restarts_one_service(platform: Platform) -> None:
    before = platform.pids()
    config = platform.root / "ragops.yaml"
    config.write_text(config.read_text().replace("maxmemory: 256mb", "maxmemory: 300mb"))
    lines = [line.strip() for line in platform.run("plan").out.splitlines()]
    assert "~ redis: update" in lines
    assert "-maxmemory 256mb" in lines
    assert "+maxmemory 300mb" in lines
    assert lines[-1] == "1 change"
    platform.run("up", "--yes")
    after = platform.pids()
    assert after["redis"] != before["redis"]
    assert after["timescaledb"] == before["timescaledb"]
    assert platform.redis("GET", "kept") == "$1\r\n1"


@pytest.mark.fault
def test_a_lost_secrets_file_stops_up_before_anything_restarts(platform: Platform) -> None:
    before, secrets = platform.pids(), platform.root / ".ragops" / "secrets" / "default.json"
    text = secrets.read_text()
    secrets.unlink()
    for command in (("plan",), ("up", "--yes")):
        assert "are locked with a password that is gone" in platform.run(*command, code=7).err
    assert platform.run("drift").out.strip() == "no drift"
    assert not secrets.exists()
    values = json.loads(text)
    secrets.write_text(json.dumps({**values, "timescaledb_owner": "changed by hand"}))
    refused = platform.run("up", "--yes", code=1).err
    assert "put the old value of timescaledb_owner back" in refused
    secrets.write_text(text)
    assert platform.run("up", "--json").json()["changes"] == []
    assert platform.pids() == before


@pytest.mark.fault
def test_a_lost_folder_of_the_gateway_is_made_again(platform: Platform) -> None:
    before, folder = platform.pids(), platform.root / ".ragops" / "gateway" / "default"
    platform.run("token", "issue", "lost")
    shutil.rmtree(folder)
    assert "certificate: " in platform.run("plan").out
    platform.run("up", "--yes")
    assert platform.pids()["gateway"] == before["gateway"], "without a restart"
    assert platform.run("plan", "--exit-code").out.strip() == "no changes"
    assert platform.run("token", "list", "--json").json()["tokens"] == []


def test_down_stops_everything_and_keeps_the_data(platform: Platform, processes_of: Any) -> None:
    values = platform.run("down", "--yes", "--json").json()
    assert set(values["stopped"]) == RESOURCES
    assert values["purged"] == []
    assert not processes_of(platform.root)
    assert all(Path(folder).is_dir() for folder in values["kept"])
    assert platform.run("status", code=7).err.count("ragops up") == 1
    assert platform.run("down", "--yes", "--json").json()["stopped"] == [], "a second time there is nothing to do"


def test_up_again_finds_the_data(platform: Platform) -> None:
    platform.run("up", "--yes")
    assert platform.redis("GET", "kept") == "$1\r\n1"
    assert platform.run("health", "--json").json()["status"] == "ok", "the schema is there too"


def test_purge_removes_the_data_for_good(platform: Platform, processes_of: Any) -> None:
    assert platform.run("down", "--purge-data", code=2).err.count("--yes") == 1
    values = platform.run("down", "--purge-data", "--yes", "--json").json()
    assert {Path(folder).name for folder in values["purged"]} == SERVICES
    assert not any(Path(folder).exists() for folder in values["purged"])
    assert not processes_of(platform.root)


def test_every_change_left_a_line(platform: Platform) -> None:
    lines = [json.loads(line) for line in (platform.root / ".ragops" / "audit.jsonl").read_text().splitlines()]
    commands = [line["command"].split()[1] for line in lines if line["outcome"] == "done"]
    assert commands == ["up", "migrate", "up", "up", "up", "up", "token", "up", "down", "down", "up", "down"]
