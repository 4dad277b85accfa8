"""Secrets rotated on a platform that answers meanwhile: what is new, what is refused, what a kill leaves."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
import redis

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.engine]


class Platform:
    """A project that is up, with a user of its own in Redis."""

    def __init__(self, root: Path, ragops: Any) -> None:
        self.root, self.ragops = root, ragops
        self.file = root / ".ragops" / "secrets" / "default.json"

    def run(self, *arguments: str, code: int = 0) -> Any:
        done = self.ragops(*arguments, cwd=self.root, timeout=280)
        assert done.code == code, f"{arguments}: {done.code}\n{done.out}\n{done.err}"
        return done

    def secrets(self) -> dict[str, str]:
        return json.loads(self.file.read_text())

    def pids(self) -> dict[str, str]:
        return {item["service"]: item["ident"] for item in self.run("status", "--json").json()["services"]}

    def accepted(self, values: dict[str, str]) -> list[str]:
        """Names of the secrets whose `values` open what they are for."""
        out = self.run("outputs", "--json").json()
        found = [name for name, user in USERS.items() if _redis(int(out["REDIS_PORT"]), user, values[name])]
        found += [name for name, role in ROLES.items() if _database(int(out["TIMESCALEDB_PORT"]), role, values[name])]
        found += ["qdrant_api_key"] if _ok(f"{out['QDRANT_URL']}/collections", api_key=values["qdrant_api_key"]) else []
        url = f"{out['API_URL']}/internal/status"
        return found + [name for name in TOKENS if _ok(url, **{"X-Service-Token": values[name]})]


USERS = {"redis_operator": "ragops", "redis_application": "rag", "redis_user_worker": "worker"}
ROLES = {"timescaledb_owner": "rag_owner", "timescaledb_application": "rag_app"}
TOKENS = ("api_service_token", "api_service_token_ingest")


def _redis(port: int, user: str, password: str) -> bool:
    try:
        return bool(redis.Redis(port=port, username=user, password=password).ping())
    except redis.AuthenticationError:
        return False


def _database(port: int, role: str, password: str) -> bool:
    try:
        psycopg.connect(host="127.0.0.1", port=port, user=role, password=password, dbname="rag").close()
    except psycopg.OperationalError:
        return False
    return True


def _ok(url: str, **headers: str) -> bool:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.get(url, headers=named, trust_env=False).status_code not in (401, 403)


@pytest.fixture(scope="module")
def platform(module_project: Path, ragops: Any) -> Iterator[Platform]:
    with (module_project / "ragops.yaml").open() as file:
        text = file.read()
    users = "redis:\n  users: {worker: {role: write, keys: ['*']}}\n"
    (module_project / "ragops.yaml").write_text(text.replace("redis:\n", users, 1))
    platform = Platform(module_project, ragops)
    platform.run("up", "--yes")
    platform.run("migrate", "up")
    yield platform
    ragops("down", "--yes", cwd=module_project)


class Reader:
    """Asks the API through the gateway until it is told to end, and keeps what was not answered."""

    def __init__(self, platform: Platform) -> None:
        token = platform.run("token", "issue", "reader").out.strip()
        self.url = platform.run("outputs", "--json").json()["GATEWAY_URL"] + "/api/v1/collections"
        self.headers = {"Authorization": f"Bearer {token}"}
        self.answers = 0
        self.bad: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def _ask(self) -> None:
        with httpx.Client(trust_env=False, timeout=20, headers=self.headers) as client:
            while not self._over.wait(0.05):
                try:
                    answer = client.get(self.url)
                except httpx.HTTPError as error:
                    self.bad.append(type(error).__name__)
                    continue
                self.answers += 1
                if answer.status_code != 200:
                    self.bad.append(f"{answer.status_code} {answer.text}")


def test_all_are_rotated_while_the_platform_answers(platform: Platform) -> None:
    before, pids = platform.secrets(), platform.pids()
    assert set(platform.accepted(before)) == set(before)
    with Reader(platform) as reader:
        result = platform.run("secrets", "rotate", "--all", "--yes")
    assert reader.bad == []
    assert reader.answers
    after = platform.secrets()
    assert after.keys() == before.keys()
    assert platform.accepted(before) == []
    assert set(platform.accepted(after)) == set(after)
    assert platform.pids() == pids, "something was restarted"
    assert platform.run("plan", "--exit-code").out.strip() == "no changes"
    assert platform.run("drift").out.strip() == "no drift"
    values = {*before.values(), *after.values()}
    listed = platform.run("secrets", "list").out
    logs = [path for path in (platform.root / ".ragops").rglob("*") if path.suffix in (".log", ".jsonl")]
    assert logs
    for text in (result.out, result.err, listed, *(path.read_text(errors="replace") for path in logs)):
        assert not [value for value in values if value in text]
    assert "secrets rotate --all --yes" in (platform.root / ".ragops" / "audit.jsonl").read_text().splitlines()[-1]


@pytest.mark.fault
@pytest.mark.campaign(sample=0)
def test_killed_in_between_the_next_run_completes_it(platform: Platform, wait_until: Any) -> None:
    """While both values are good; every other step is tried without engines (tests/unit/operations)."""
    before, mark = platform.secrets(), ".previous"
    process = platform.ragops.start("secrets", "rotate", "--all", "--yes", cwd=platform.root)
    wait_until(lambda: any(name.endswith(mark) for name in platform.secrets()), 120, "the step")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    between = platform.secrets()
    assert any(name.endswith(mark) for name in between)
    assert "--resume" in platform.run("secrets", "list").out
    platform.run("secrets", "rotate", "--resume", "--yes")
    after = platform.secrets()
    assert after.keys() == before.keys()
    assert platform.accepted(before) == []
    assert set(platform.accepted(after)) == set(after)
    assert platform.run("health", "--json").json()["status"] == "ok"


def test_without_a_yes_and_a_terminal_nothing_is_rotated(platform: Platform) -> None:
    before = platform.secrets()
    platform.run("secrets", "rotate", "redis_application", code=2)
    assert platform.secrets() == before
