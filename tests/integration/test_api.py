"""The API as its own process, on the real engines: PostgreSQL, Valkey and Qdrant's own."""

from __future__ import annotations

import json
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ragops.runtimes.embedded.processes import supervisor
from ragops.services.api import ApiService
from ragops.services.api.health import probe
from ragops.services.contract import Status
from tests.integration.stack import ask
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.stack import Program, Stack

pytestmark = pytest.mark.fault


# --- what it answers -------------------------------------------------------------------------------------------------


def test_finds_the_passage_in_the_real_engine(stack):
    with stack.client() as client:
        body = ask(client, "rotation of the token").json()
        assert body["results"][0]["path"] == "rotation.md"
        assert 0.3 < body["results"][0]["score"] <= 1.0
        documents = ask(client, "recovery point", "/api/v2/search").json()["documents"]
        assert documents[0]["path"] == "backup.md"
        unknown = client.post("/api/v1/search", json={"collection": "nothing", "query": "x"})
        assert unknown.json()["code"] == "collection_not_found"


def test_vectors_of_another_length_are_told_as_such(stack):
    stack.qdrant("PUT", "/collections/other", {"vectors": {"size": 8, "distance": "Cosine"}})
    with stack.client() as client:
        response = client.post("/api/v1/search", json={"collection": "other", "query": "x"})
    assert response.status_code == 409, response.text
    assert response.json()["code"] == "embedder_mismatch"


def test_collections_come_from_the_database(stack):
    with stack.client() as client:
        body = client.get("/api/v1/collections").json()
    manuals, notes = body["collections"]
    assert (manuals["name"], manuals["documents"], manuals["embedding_model"]) == ("manuals", 1, "hashing-384-v1")
    assert (notes["name"], notes["documents"], notes["indexed_at"]) == ("notes", 0, None)


def test_answers_are_cached_until_somebody_says_that_the_collection_changed(stack):
    with stack.client() as client:
        assert ask(client, "snapshots").json()["cached"] is False
        first = ask(client, "snapshots").json()
        assert first["cached"] is True
        headers = {"X-Service-Token": stack.secrets["api_service_token_ingest"]}
        for changed in ({"collections": ["manuals"]}, {}):
            ask(client, "snapshots")
            assert client.post("/internal/collections/refresh", json=changed, headers=headers).json()["forgotten"]
            again = ask(client, "snapshots").json()
            assert again["cached"] is False
            assert again["results"] == first["results"]


def test_questions_are_logged_with_who_asked_and_what_was_found(stack):
    identifier = uuid.uuid4().hex
    with stack.client() as client:
        client.headers["X-Request-Id"] = identifier
        ask(client, "which secrets are valid?")
        client.post("/api/v1/search", json={"collection": "nothing", "query": "which?"})
    statement = (
        "SELECT collection, query, length(query_hash), embedding_model, consumer, outcome, result_count, "
        "top_score > 0, duration_ms > 0 FROM rag.query_logs WHERE request_id = %s ORDER BY asked_at"
    )
    wait_until(lambda: len(stack.sql(statement, identifier)) == 2, 10)
    found, refused = stack.sql(statement, identifier)
    assert found == ("manuals", "which secrets are valid?", 64, "hashing-384-v1", "alice", "ok", 1, True, True)
    assert refused[5:7] == ("refused", None)


def test_health_looks_through_it(stack):
    endpoint = stack.endpoint()
    result = probe(endpoint, 5)
    assert result.status is Status.OK, result
    assert {check.name for check in result.checks} >= {
        "reachable", "qdrant", "redis", "database", "tokens", "breaker qdrant", "breaker database",
    }  # fmt: skip
    stranger = stack.endpoint("qdrant_api_key")
    refused = [check for check in probe(stranger, 5).checks if check.name == "service token"]
    assert refused[0].status is Status.DEGRADED


def test_metrics_and_the_log_hold_no_secret_and_every_line_is_json(stack):
    with stack.client() as client:
        ask(client, "a question that no log line may hold")
        text = client.get("/metrics").text
        token = client.headers["Authorization"].removeprefix("Bearer ")
    log = stack.programs["api"].log.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert any(line["message"] == "request" and line["consumer"] == "alice" for line in lines)
    for secret in (*stack.secrets.values(), token, "a question that no log"):
        assert secret not in log
        assert secret not in text


# --- what it does without one of the others --------------------------------------------------------------------------


@contextmanager
def counting(port: int) -> Iterator[list[float]]:
    """Takes the place of a dead server: nobody is to knock. Times of every connection that came."""
    knocks: list[float] = []
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        listener.settimeout(0.05)
        done = threading.Event()

        def accept() -> None:
            while not done.is_set():
                try:
                    listener.accept()[0].close()
                except TimeoutError:
                    continue
                knocks.append(time.monotonic())

        thread = threading.Thread(target=accept)
        thread.start()
        yield knocks
        done.set()
        thread.join()


@contextmanager
def load(stack: Stack, clients: int) -> Iterator[list[str]]:
    """Clients that ask without a pause; the code of every answer, empty for a good one."""
    codes: list[str] = []
    stop = threading.Event()

    def work(worker: int) -> None:
        with stack.client() as client:
            number = 0
            while not stop.is_set():
                number += 1
                response = ask(client, f"load {worker} {number}")
                codes.append("" if response.is_success else response.json()["code"])

    with ThreadPoolExecutor(clients) as pool:
        for worker in range(clients):
            pool.submit(work, worker)
        try:
            yield codes
        finally:
            stop.set()


@pytest.fixture
def patient(stack: Stack) -> Iterator[Program]:
    """The API with a pause long enough to look at it; Qdrant is brought back at the end."""
    api = stack.programs["api"]
    api.end()
    api.spec = stack.api_spec(breakers={"reset_seconds": 8})
    api.start()
    yield api
    supervisor.ensure_running(stack.engines["qdrant"].spec)
    api.end()
    api.spec = stack.api_spec()
    api.start()


@pytest.mark.campaign(of="the API under load", sample=1)
def test_qdrant_killed_under_load(stack, patient):
    """Opens after five failures, nobody touches the port while it is open, closes by itself."""
    with load(stack, 4) as codes:
        wait_until(lambda: len(codes) > 40, 20)
        assert set(codes) == {""}
        stack.engines["qdrant"].kill()
        wait_until(lambda: stack.breaker("qdrant")["state"] == "open", 15)
        opened = stack.breaker("qdrant")
        trial = time.monotonic() + opened["retry_after"] - 0.5
        with counting(stack.engines["qdrant"].endpoint.port) as knocks:
            time.sleep(0.5)  # what had begun before it opened
            late = len(knocks)
            timings = refusals(stack, 200, trial)
            assert len(timings) > 20
            assert len([knock for knock in knocks if knock < trial]) == late, "somebody touched the port"
            failed = codes.count("dependency_failed")
            assert stack.breaker("qdrant")["refused"] >= opened["refused"] + len(timings)
            with stack.client() as client:
                assert client.get("/api/v1/collections").status_code == 200, "the rest keeps answering"
                assert client.get("/healthz").status_code == 200
    assert 5 <= failed <= 5 + 3, "five open it; each of the three others may have been under way with one"
    stack.engines["qdrant"].control.start()
    with stack.client() as client:
        wait_until(lambda: ask(client, f"back? {time.monotonic()}").status_code == 200, 30)
        assert stack.breaker("qdrant")["state"] == "closed"
        assert ask(client, "rotation of a secret, again").json()["results"][0]["path"] == "rotation.md"
    changes = [json.loads(line) for line in patient.log.read_text().splitlines() if '"breaker_changed"' in line]
    states = [line["after"] for line in changes if line["dependency"] == "qdrant"]
    assert states[0] == "open"
    assert states[-2:] == ["half-open", "closed"]
    timings.sort()
    print(f"refused in ms, beside a load: median {statistics.median(timings):.2f} of {len(timings)}")


def refusals(stack: Stack, count: int, until: float) -> list[float]:
    """Milliseconds that each refusal took, as its client saw it; at most `count`, none begun after `until`."""
    timings: list[float] = []
    with stack.client() as client:
        while len(timings) < count and time.monotonic() < until:
            started = time.perf_counter()
            response = ask(client, f"refused {len(timings)}")
            elapsed = (time.perf_counter() - started) * 1000
            if time.monotonic() < until:
                timings.append(elapsed)
                assert response.json()["code"] == "circuit_open"
                assert 1 <= int(response.headers["Retry-After"]) <= 8
    return timings


def test_without_redis_it_answers(stack):
    stack.engines["redis"].kill()
    try:
        with stack.client() as client:
            for number in range(8):
                assert ask(client, f"no cache {number}").json()["cached"] is False
            assert client.get("/readyz").json()["status"] == "degraded"
    finally:
        stack.engines["redis"].control.start()
    with stack.client() as client:
        wait_until(lambda: ask(client, "cached again").json()["cached"], 15)


def test_without_its_database_it_answers_and_logs_later(stack):
    identifier = uuid.uuid4().hex
    stack.engines["timescaledb"].kill()
    try:
        with stack.client() as client:
            client.headers["X-Request-Id"] = identifier
            for number in range(3):
                assert ask(client, f"no database {number}").status_code == 200
            assert client.get("/readyz").json()["status"] == "degraded"
            listed = client.get("/api/v1/collections")
            assert listed.status_code == 503
            assert "Retry-After" in listed.headers
    finally:
        stack.engines["timescaledb"].control.start()
    statement = "SELECT count(*) FROM rag.query_logs WHERE request_id = %s"
    log = stack.programs["api"].log
    wait_until(lambda: stack.sql(statement, identifier) == [(3,)], what=lambda: log.read_text()[-3000:])


def test_a_database_without_a_schema_is_told_and_opens_no_breaker(stack):
    stack.sql("ALTER SCHEMA rag RENAME TO rag_away")
    try:
        with stack.client() as client:
            for _ in range(10):
                listed = client.get("/api/v1/collections")
                assert (listed.status_code, listed.json()["code"]) == (503, "schema_missing")
            assert "ragops migrate up" in listed.json()["detail"]
            breaker = stack.breaker("database")
    finally:
        stack.sql("ALTER SCHEMA rag_away RENAME TO rag")
    assert (breaker["state"], breaker["failures"]) == ("closed", 0)
    with stack.client() as client:
        assert client.get("/api/v1/collections").status_code == 200


# --- how it starts and stops -----------------------------------------------------------------------------------------


def has_unread(port: int) -> bool:
    """Whether a connection to this port has bytes that its server has not read (Linux, proc(5), `net/tcp`)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and row[3] == "01" and int(row[4][9:], 16) for row in rows)


def test_a_request_under_way_ends_and_is_logged_before_it_stops(stack):
    api, identifier = stack.programs["api"], uuid.uuid4().hex
    with stack.client() as client, ThreadPoolExecutor(1) as pool:
        client.headers["X-Request-Id"] = identifier
        stack.engines["qdrant"].signal(signal.SIGSTOP)
        try:
            under_way = pool.submit(ask, client, "slow question")
            wait_until(lambda: has_unread(stack.engines["qdrant"].endpoint.port), what="the question to Qdrant")
            api.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        finally:
            stack.engines["qdrant"].signal(signal.SIGCONT)
        assert under_way.result(20).status_code == 200
        assert api.process.wait(20) in (0, -signal.SIGTERM)  # uvicorn dies of the signal after it has cleaned up
    assert stack.sql("SELECT count(*) FROM rag.query_logs WHERE request_id = %s", identifier) == [(1,)]
    api.start()


@pytest.mark.campaign(of="the API under load", sample=1)
def test_several_workers_share_one_port_and_their_counts(stack, tmp_path, monkeypatch):
    api = stack.programs["api"]
    api.end()
    api.spec = stack.api_spec(workers=2)
    with monkeypatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path))
        api.start()
    try:
        workers = set()
        for _ in range(24):
            with stack.client() as client:
                assert ask(client, "several").status_code == 200
                headers = {"X-Service-Token": stack.secrets["api_service_token"]}
                workers.add(client.get("/internal/breakers", headers=headers).json()["worker"])
                text = client.get("/metrics").text
        assert len(workers) == 2
        [line] = [line for line in text.splitlines() if 'route="/api/v1/search",status="200"' in line]
        assert float(line.split()[-1]) == 24
        assert list(tmp_path.iterdir()), "the counts are shared through a folder"
    finally:
        assert api.end() == 0
        assert list(tmp_path.iterdir()) == []
        api.spec = stack.api_spec()
        api.start()


@pytest.mark.campaign(of="the API under load", sample=1)
def test_no_worker_gives_an_old_answer_after_a_collection_was_switched(stack):
    api = stack.programs["api"]
    api.end()
    api.spec = stack.api_spec(workers=2)
    api.start()
    job = (
        "INSERT INTO rag.ingestion_jobs (collection_id, collection, actor, details) SELECT id, name, 'test',"
        " jsonb_build_object('way', jsonb_build_object('embedder', 'hashing-384-v1', 'collection', %s::text))"
        " FROM rag.collections WHERE name = 'manuals'"
    )
    headers = {"X-Service-Token": stack.secrets["api_service_token"]}
    copied = stack.qdrant("POST", "/collections/manuals/points/scroll", {"with_vector": True}).json()["result"]
    points = [
        {**one, "payload": {**one["payload"], "path": f"new-{one['payload']['path']}"}} for one in copied["points"]
    ]
    stack.qdrant("PUT", "/collections/manuals@2", {"vectors": {"size": 384, "distance": "Cosine"}})
    stack.qdrant("PUT", "/collections/manuals@2/points?wait=true", {"points": points})

    def paths() -> set[tuple[str, bool]]:
        found = set()
        for _ in range(16):  # each client has a connection, and so a worker, of its own
            with stack.client() as client:
                body = ask(client, "rotation of the token").json()
                found.add((body["results"][0]["path"], body["cached"]))
        return found

    try:
        assert {path for path, _ in paths()} == {"rotation.md"}
        stack.sql(job, "manuals@2")
        with stack.client() as client:
            client.post("/internal/collections/refresh", json={}, headers=headers).raise_for_status()
        assert paths() == {("new-rotation.md", False), ("new-rotation.md", True)}
    finally:
        stack.sql("DELETE FROM rag.ingestion_jobs")
        stack.qdrant("DELETE", "/collections/manuals@2")
        assert api.end() == 0
        api.spec = stack.api_spec()
        api.start()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"qdrant": {"urls": []}}, "api_config_invalid"),
        ({"surprise": 1}, "api_config_invalid"),
        ({"qdrant": {"urls": ["http://127.0.0.1:1"], "api_key_file": "missing"}}, "secret_unreadable"),
        (None, "api_config_unreadable"),
    ],
)
def test_faults_of_the_configuration_are_one_line_and_exit_2(stack, tmp_path, change, code):
    for file in stack.api_spec().files:
        (tmp_path / file.name).write_text(file.content)
    config = tmp_path / "api.json"
    config.write_text("{" if change is None else json.dumps({**json.loads(config.read_text()), **change}))
    command = [sys.executable, "-m", "ragops.api", str(config)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert result.returncode == 2
    line = json.loads(result.stderr.splitlines()[-1])
    assert line["message"] == code
    assert "Traceback" not in result.stderr


def test_a_port_that_is_taken_is_told(stack, tmp_path):
    for file in stack.api_spec().files:
        (tmp_path / file.name).write_text(file.content)
    command = [sys.executable, "-m", "ragops.api", str(tmp_path / "api.json")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert result.returncode not in (0, 2)
    assert "address already in use" in result.stderr
    assert all(json.loads(line) for line in result.stderr.splitlines())


def test_the_service_says_what_it_is():
    service = ApiService()
    assert (service.name, service.titles) == ("api", {"ragops": "RAG API"})
    assert service.secrets() == ("api_service_token", "api_service_token_ingest")
