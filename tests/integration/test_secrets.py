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
    from tests.loaded_platform import Loaded

pytestmark = [pytest.mark.engine]


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


def secrets_of(loaded: Loaded) -> dict[str, str]:
    return json.loads((loaded.root / ".ragops" / "secrets" / "default.json").read_text())


def accepted(loaded: Loaded, values: dict[str, str]) -> list[str]:
    """Names of the secrets whose `values` open what they are for."""
    out = loaded.run("outputs", "--json").json()
    found = [name for name, user in USERS.items() if _redis(int(out["REDIS_PORT"]), user, values[name])]
    found += [name for name, role in ROLES.items() if _database(int(out["TIMESCALEDB_PORT"]), role, values[name])]
    found += ["qdrant_api_key"] if _ok(f"{out['QDRANT_URL']}/collections", api_key=values["qdrant_api_key"]) else []
    url = f"{out['API_URL']}/internal/status"
    return found + [name for name in TOKENS if _ok(url, **{"X-Service-Token": values[name]})]


class Reader:
    """Asks the API through the gateway until it is told to end, and keeps what was not answered."""

    def __init__(self, loaded: Loaded) -> None:
        self.url = loaded.run("outputs", "--json").json()["GATEWAY_URL"] + "/api/v1/collections"
        self.headers = {"Authorization": f"Bearer {loaded.token}"}
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


def test_all_are_rotated_while_the_platform_answers(loaded: Loaded) -> None:
    before, pids = secrets_of(loaded), loaded.pids()
    assert set(accepted(loaded, before)) == set(before)
    with Reader(loaded) as reader:
        result = loaded.run("secrets", "rotate", "--all", "--yes")
    assert reader.bad == []
    assert reader.answers
    after = secrets_of(loaded)
    assert after.keys() == before.keys()
    assert accepted(loaded, before) == []
    assert set(accepted(loaded, after)) == set(after)
    assert loaded.pids() == pids, "something was restarted"
    assert loaded.run("plan", "--exit-code").out.strip() == "no changes"
    assert loaded.run("drift").out.strip() == "no drift"
    values = {*before.values(), *after.values()}
    listed = loaded.run("secrets", "list").out
    logs = [path for path in (loaded.root / ".ragops").rglob("*") if path.suffix in (".log", ".jsonl")]
    assert logs
    for text in (result.out, result.err, listed, *(path.read_text(errors="replace") for path in logs)):
        assert not [value for value in values if value in text]
    assert "secrets rotate --all --yes" in (loaded.root / ".ragops" / "audit.jsonl").read_text().splitlines()[-1]


@pytest.mark.fault
@pytest.mark.campaign(sample=0)
def test_killed_in_between_the_next_run_completes_it(loaded: Loaded, wait_until: Any) -> None:
    """While both values are good; every other step is tried without engines (tests/unit/operations)."""
    before, mark = secrets_of(loaded), ".previous"
    process = loaded.ragops.start("secrets", "rotate", "--all", "--yes", cwd=loaded.root)
    wait_until(lambda: any(name.endswith(mark) for name in secrets_of(loaded)), 120, "the step")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    between = secrets_of(loaded)
    assert any(name.endswith(mark) for name in between)
    assert "--resume" in loaded.run("secrets", "list").out
    loaded.run("secrets", "rotate", "--resume", "--yes")
    after = secrets_of(loaded)
    assert after.keys() == before.keys()
    assert accepted(loaded, before) == []
    assert set(accepted(loaded, after)) == set(after)
    assert loaded.run("health", "--json").json()["status"] == "ok"


def test_without_a_yes_and_a_terminal_nothing_is_rotated(loaded: Loaded) -> None:
    before = secrets_of(loaded)
    loaded.run("secrets", "rotate", "redis_application", code=2)
    assert secrets_of(loaded) == before
