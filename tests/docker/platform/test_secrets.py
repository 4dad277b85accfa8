"""Every secret of a whole platform gets a new value while applications ask and write; the old ones end."""

from __future__ import annotations

import json
from typing import Any

import httpx
import psycopg
import pytest
import redis

pytestmark = [pytest.mark.engine, pytest.mark.fault]

USERS = {"redis_operator": "ragops", "redis_application": "rag"}
ROLES = {"timescaledb_owner": "rag_owner", "timescaledb_application": "rag_app"}
TOKENS = ("api_service_token", "api_service_token_ingest")
NODES = ("qdrant-1", "qdrant-2", "qdrant-3")


def _redis(port: int, user: str, password: str) -> bool:
    try:
        return bool(redis.Redis(port=port, username=user, password=password).ping())
    except redis.AuthenticationError:
        return False


def _database(values: dict[str, str], role: str, password: str) -> bool:
    where = f"host=127.0.0.1 port={values['TIMESCALEDB_PORT']} dbname={values['TIMESCALEDB_DATABASE']}"
    try:
        psycopg.connect(f"{where} user={role} password={password}", connect_timeout=20).close()
    except psycopg.OperationalError as error:
        assert "password authentication failed" in str(error)
        return False
    return True


def _opens(url: str, **headers: str) -> bool:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.get(url, headers=named, trust_env=False, timeout=20).status_code not in (401, 403)


def _accepted(whole: Any, secrets: dict[str, str]) -> set[str]:
    """Names of the secrets that open what they are for; a key of Qdrant where any node takes it."""
    out = whole.outputs()
    found = {name for name, user in USERS.items() if _redis(int(out["REDIS_PORT"]), user, secrets[name])}
    found |= {name for name, role in ROLES.items() if _database(out, role, secrets[name])}
    urls = out["QDRANT_URLS"].split(",")
    found |= {"qdrant_api_key" for url in urls if _opens(f"{url}/collections", api_key=secrets["qdrant_api_key"])}
    status = f"{out['API_URL']}/internal/status"
    return found | {name for name in TOKENS if _opens(status, **{"X-Service-Token": secrets[name]})}


def _started(whole: Any) -> dict[str, str]:
    return {one.name: one.state.started for one in whole.docker.containers(whole.names.labels())}


@pytest.mark.timeout(2400)
def test_all_are_rotated_under_load(whole: Any, kept: Any, token: str, load: Any) -> None:
    """Nothing restarts but the nodes of Qdrant, one after the other; no question fails."""
    file = whole.root / ".ragops" / "secrets" / "default.json"
    before, started = json.loads(file.read_text()), _started(whole)
    assert _accepted(whole, before) == set(before)
    with load(whole, token) as running:
        done = whole.run("secrets", "rotate", "--all", "--yes", timeout=1500)  # nine restarts, one after the other
        running.goes_on(reads=30)
    running.assert_nothing_lost()
    running.assert_active()
    after = json.loads(file.read_text())
    assert after.keys() == before.keys()
    assert _accepted(whole, before) == set()
    assert _accepted(whole, after) == set(after)
    again = {name for name, when in _started(whole).items() if when != started[name]}
    assert again == {whole.name(node) for node in NODES}
    whole.settled()
    values = {*before.values(), *after.values()}
    assert not [value for value in values if value in done.out + done.err]
    for container in whole.docker.containers(whole.names.labels()):
        shown = f"{whole.docker.api.inspect_container(container.name)} {whole.docker.logs(container.name, 5000)}"
        assert not [name for name in values if name in shown], container.name
    taken = whole.json("backup", "run")
    whole.run("backup", "verify", taken["id"], "--deep")
