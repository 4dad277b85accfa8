"""One true instant: while it is held nobody writes, everybody reads, and afterwards nothing was lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import redis as redis_package

from ragops.adapters import redis_client
from ragops.api.read_only import CHANNEL
from ragops.errors import ExitCode, LockedError, RagopsError, UnhealthyError
from ragops.operations.backup.quiesce import pause_writes
from ragops.services.redis import quiesce as redis_quiet
from ragops.services.timescaledb import quiesce as database_quiet
from tests.integration.stack import ask
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ragops.services.contract import Endpoint
    from tests.engines import Engine
    from tests.integration.stack import Stack

pytestmark = [pytest.mark.fault, pytest.mark.servers]
LIMIT = 60.0  # for waits alone
STEPS = 5


def now() -> datetime:
    return datetime.now(tz=UTC)


def silent(_words: str) -> None:
    pass


@dataclass
class Loop:
    """Does one thing again and again in a thread, and notes when each time began and was acknowledged."""

    name: str
    action: Callable[[], Any]
    done: list[tuple[datetime, datetime]] = field(default_factory=list)
    failure: BaseException | None = None
    over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.over.wait(0.005):
            began = now()
            try:
                self.action()
            except BaseException as error:
                self.failure = error
                return
            self.done.append((began, now()))

    def goes_on(self, times: int = STEPS) -> None:
        before = len(self.done)
        wait_until(lambda: len(self.done) >= before + times or self.failure is not None, LIMIT)
        assert self.failure is None, f"{self.name}: {self.failure!r}"


class Load:
    """Writers of every kind, and readers, on both stores."""

    def __init__(self, postgres: Engine, valkey: Engine, stack: ExitStack) -> None:
        self._stack = stack
        self._postgres, self._valkey = postgres, valkey
        row = "INSERT INTO load.rows (kind) VALUES ('{}')"
        counted = "redis.call('incr', KEYS[1]) return redis.call('incr', KEYS[2])"
        self.writers = [
            self._sql("insert", lambda c: c.execute(row.format("insert"))),
            self._sql(
                "transaction", lambda c: transaction(c, row.format("transaction"), "UPDATE load.one SET n = n + 1")
            ),
            self._sql("partition", lambda c: c.execute("INSERT INTO load.parted VALUES (1)")),
            self._sql("table", lambda c: c.execute(f"CREATE TABLE load.t{uuid.uuid4().hex} AS SELECT 1 AS n")),
            self._redis("incr", lambda c: c.incr("n")),
            self._redis("set", lambda c: c.set(f"set:{uuid.uuid4()}", 1)),
            self._redis("multi", lambda c: c.pipeline(transaction=True).incr("n").incr("m").execute()),
            self._redis("script", lambda c: c.eval(counted, 2, "n", "m")),
            self._both(row.format("both")),
        ]
        self.readers = [
            self._sql("select", lambda c: c.execute("SELECT count(*) FROM load.rows").fetchone()),
            self._redis("get", lambda c: c.pipeline(transaction=True).get("n").dbsize().execute()),
        ]

    def _connect(self) -> psycopg.Connection[Any]:
        endpoint = self._postgres.endpoint
        login = endpoint.logins["operator"]
        return self._stack.enter_context(
            psycopg.connect(
                host=endpoint.host, port=endpoint.port, dbname="rag", user=login.user,
                password=login.password.get_secret_value(), autocommit=True, options="-c statement_timeout=60s",
            )
        )  # fmt: skip

    def _client(self) -> redis_package.Redis:
        endpoint = self._valkey.endpoint
        login = endpoint.logins["application"]
        client = redis_client.connect(endpoint.host, endpoint.port, login.user, login.password, timeout=LIMIT)
        return self._stack.enter_context(client)

    def _sql(self, name: str, action: Callable[[Any], Any]) -> Loop:
        connection = self._connect()
        return Loop(name, lambda: action(connection))

    def _redis(self, name: str, action: Callable[[Any], Any]) -> Loop:
        client = self._client()
        return Loop(name, lambda: action(client))

    def _both(self, row: str) -> Loop:
        """A transaction that ends only after a write to the other store."""
        connection, client = self._connect(), self._client()

        def write() -> None:
            with connection.transaction():
                connection.execute(row)
                client.incr("n")

        return Loop("both", write)

    def count(self) -> dict[str, Any]:
        """What is there now."""
        with self._valkey.redis() as client:
            numbers = {"keys": client.dbsize(), "n": client.get("n"), "m": client.get("m")}
        for name, query in {
            "rows": "SELECT count(*) FROM load.rows",
            "updates": "SELECT n FROM load.one",
            "parted": "SELECT count(*) FROM load.parted",
            "tables": "SELECT count(*) FROM pg_class WHERE relnamespace = 'load'::regnamespace AND relkind = 'r'",
        }.items():
            numbers[name] = self._postgres.sql(query)[0][0]
        return numbers

    def all_go_on(self) -> None:
        for loop in (*self.writers, *self.readers):
            loop.goes_on()

    def end(self) -> None:
        loops = (*self.writers, *self.readers)
        for loop in loops:
            loop.over.set()
        for loop in loops:
            loop.thread.join(LIMIT)
            assert not loop.thread.is_alive(), f"{loop.name} still waits"


def transaction(connection: psycopg.Connection[Any], *statements: str) -> None:
    with connection.transaction():
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def endpoints(postgres: Engine, valkey: Engine) -> dict[str, Endpoint]:
    """Both stores with one empty schema; no API, so that nobody waits for its workers."""
    valkey.start()
    with valkey.redis() as client:
        client.flushall()
    postgres.sql(
        "DROP SCHEMA IF EXISTS load CASCADE; CREATE SCHEMA load; "
        "CREATE TABLE load.rows (id bigserial PRIMARY KEY, kind text, at timestamptz DEFAULT clock_timestamp()); "
        "CREATE TABLE load.one (n bigint); INSERT INTO load.one VALUES (0); "
        "CREATE TABLE load.parted (n int) PARTITION BY RANGE (n); "
        "CREATE TABLE load.part PARTITION OF load.parted FOR VALUES FROM (0) TO (10)"
    )
    return {"timescaledb": postgres.endpoint, "redis": valkey.endpoint}


@pytest.fixture
def load(endpoints: dict[str, Endpoint], postgres: Engine, valkey: Engine) -> Iterator[Load]:
    with ExitStack() as stack:
        load = Load(postgres, valkey, stack)
        try:
            yield load
        finally:
            load.end()


def paused(valkey: Engine) -> bool:
    with valkey.redis() as client:
        return client.info("clients")["paused_actions"] == "write"


def announced(valkey: Engine) -> bool:
    with valkey.redis("application") as client:
        return client.pubsub_numsub(CHANNEL)[0][1] > 0


def locked(postgres: Engine) -> bool:
    query = "SELECT 1 FROM pg_locks WHERE granted AND mode = 'ShareLock' AND relation = 'load.rows'::regclass"
    return bool(postgres.sql(query))


def nobody_waits(postgres: Engine, valkey: Engine) -> None:
    """Both stores take writes."""
    assert not paused(valkey)
    assert not announced(valkey)
    with valkey.redis("application") as client:
        client.set("after", 1)
    postgres.sql("SET statement_timeout = '10s'; INSERT INTO load.rows (kind) VALUES ('after')")


# --- what it holds ---------------------------------------------------------------------------------------------------


def test_nothing_is_written_between_the_instant_and_the_release(endpoints, load, postgres):
    load.all_go_on()
    with pause_writes(endpoints, silent) as quiet:
        before = load.count()
        for reader in load.readers:
            reader.goes_on(50)
        during = load.count()
        released = now()
        quiet.release()
        load.all_go_on()
    load.end()
    assert during == before
    for writer in load.writers:
        assert writer.failure is None, f"{writer.name}: {writer.failure!r}"
        inside = [(began, acked) for began, acked in writer.done if began > quiet.instant and acked < released]
        assert inside == [], writer.name
        assert writer.done[-1][0] > released, writer.name
    # By the server's own clock, each row when it was inserted.
    rows = postgres.sql(f"SELECT kind, at FROM load.rows WHERE at > '{quiet.instant}' AND at < '{released}'")
    assert rows == []
    assert load.count()["rows"] > during["rows"]


def test_the_engines_copies_can_be_taken_meanwhile_and_hold_nothing_later(endpoints, load, postgres, valkey, tmp_path):
    load.all_go_on()
    with pause_writes(endpoints, silent):
        expected = load.count()
        with valkey.redis() as client:
            saves = client.info("persistence")["rdb_saves"]
            client.bgsave()
            wait_until(lambda: client.info("persistence")["rdb_saves"] > saves, LIMIT)
            assert client.info("persistence")["rdb_last_bgsave_status"] == "ok"
            assert client.config_get("dir")["dir"] == str(valkey.data)
        login = postgres.endpoint.logins["operator"]
        command = [
            *postgres.control.tool("pg_dump"), "--host=127.0.0.1", f"--port={postgres.endpoint.port}",
            f"--username={login.user}", "--data-only", "--table=load.rows", "rag",
        ]  # fmt: skip
        environment = {**os.environ, "PGPASSWORD": login.password.get_secret_value()}
        dump = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=LIMIT, check=True
        ).stdout
    load.all_go_on()
    copied = dump.partition("COPY load.rows")[2].partition("\\.\n")[0].count("\n") - 1
    assert copied == expected["rows"]


def test_release_may_be_called_twice_and_ends_everything(endpoints, postgres, valkey):
    said: list[str] = []
    with pause_writes(endpoints, said.append) as quiet:
        assert paused(valkey)
        quiet.release()
        nobody_waits(postgres, valkey)
        quiet.release()
    assert sum("writes resumed" in words for words in said) == 1
    nobody_waits(postgres, valkey)


def test_a_failure_in_the_block_releases(endpoints, postgres, valkey):
    with pytest.raises(KeyError), pause_writes(endpoints, silent):
        raise KeyError
    nobody_waits(postgres, valkey)


def test_services_that_are_not_there_are_left_out(endpoints, postgres, valkey):
    with pause_writes({}, silent) as quiet:
        nobody_waits(postgres, valkey)
        assert quiet.instant <= now()
    with pause_writes({"redis": valkey.endpoint}, silent):
        assert paused(valkey)
        postgres.sql("INSERT INTO load.rows (kind) VALUES ('free')")


def test_the_pause_is_renewed_for_as_long_as_it_is_held(endpoints, valkey):
    with pause_writes({"redis": valkey.endpoint}, silent, pause=4.0), valkey.redis() as client:
        began = client.time()[0]
        while client.time()[0] < began + 6:
            assert paused(valkey)
            time.sleep(0.1)


def test_the_lock_is_kept_for_as_long_as_ragops_is_heard_from(endpoints, postgres):
    with database_quiet.pause_writes(postgres.endpoint, idle=4.0):
        began = time.monotonic()
        while time.monotonic() < began + 6:
            assert locked(postgres)
            time.sleep(0.1)
    assert not locked(postgres)


# --- what goes wrong -------------------------------------------------------------------------------------------------


@contextmanager
def open_transaction(postgres: Engine, statement: str) -> Iterator[psycopg.Connection[Any]]:
    login = postgres.endpoint.logins["operator"]
    with psycopg.connect(
        host="127.0.0.1", port=postgres.endpoint.port, dbname="rag", user=login.user,
        password=login.password.get_secret_value(), application_name="nightly-import",
    ) as connection:  # fmt: skip
        connection.execute(statement)
        yield connection
        connection.rollback()


def test_a_transaction_that_does_not_end_is_named_and_nothing_stays_held(endpoints, postgres, valkey):
    secret = "INSERT INTO load.rows (kind) VALUES ('a secret')"
    with open_transaction(postgres, secret) as connection:
        with (
            pytest.raises(LockedError) as raised,
            pause_writes({**endpoints, "api": postgres.endpoint}, silent, patience=0.5),
        ):
            pass
        pid = connection.info.backend_pid
        assert raised.value.code == "quiesce_blocked"
        assert raised.value.exit_code is ExitCode.LOCKED
        assert f"pid {pid} of rag_owner (nightly-import), last statement INSERT" in raised.value.message
        assert f"SELECT pg_terminate_backend({pid});" in raised.value.hint
        assert "secret" not in raised.value.message + raised.value.hint
        nobody_waits(postgres, valkey)


def test_writers_go_on_between_the_tries_and_a_hold_is_had_when_the_long_one_ends(endpoints, load, postgres):
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with database_quiet.pause_writes(postgres.endpoint, LIMIT):
            held.set()
            over.wait(LIMIT)

    holder = threading.Thread(target=hold)
    with open_transaction(postgres, "INSERT INTO load.rows (kind) VALUES ('long')") as connection:
        holder.start()
        wait_until(lambda: waits(postgres), LIMIT)
        load.all_go_on()
        # Writing to yet another table closes a circle with what a try holds: it must not be this transaction that ends.
        # Later in the try than it looks for circles itself.
        wait_until(lambda: not waits(postgres), LIMIT)
        wait_until(lambda: waits(postgres), LIMIT)
        time.sleep(0.3)
        connection.execute("UPDATE load.one SET n = n + 1")
        connection.execute("INSERT INTO load.parted VALUES (2)")
        assert not held.is_set()
        connection.commit()
    assert held.wait(LIMIT)
    over.set()
    holder.join(LIMIT)
    load.all_go_on()


def waits(postgres: Engine) -> bool:
    query = "SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'ShareLock' AND locktype = 'relation'"
    return bool(postgres.sql(query))


def test_an_unreachable_redis_releases_the_database(endpoints, postgres, valkey):
    valkey.control.stop()
    try:
        with pytest.raises(UnhealthyError) as raised, pause_writes(endpoints, silent):
            pass
        assert raised.value.code == "redis_unreachable"
        postgres.sql("SET statement_timeout = '10s'; INSERT INTO load.rows (kind) VALUES ('after')")
    finally:
        valkey.start()


def test_a_lost_lock_is_told_at_the_release(endpoints, postgres, valkey):
    with pause_writes(endpoints, silent) as quiet:
        postgres.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'ragops' AND state = 'idle in transaction'"
        )
        with pytest.raises(UnhealthyError) as raised:
            quiet.release()
    assert raised.value.code == "quiesce_lost"
    nobody_waits(postgres, valkey)


def test_a_pause_that_lapsed_is_told_at_the_release(endpoints, postgres, valkey):
    with pause_writes(endpoints, silent, pause=0.4) as quiet:
        valkey_pid = valkey.redis().info("server")["process_id"]
        os.kill(valkey_pid, signal.SIGSTOP)
        time.sleep(1)
        os.kill(valkey_pid, signal.SIGCONT)
        with pytest.raises(UnhealthyError) as raised:
            quiet.release()
    assert raised.value.code == "quiesce_lost"
    nobody_waits(postgres, valkey)


def test_a_pause_that_somebody_else_ended_is_told_at_the_release(endpoints, postgres, valkey):
    with pause_writes(endpoints, silent) as quiet:
        valkey.redis().client_unpause()
        with pytest.raises(UnhealthyError) as raised:
            quiet.release()
    assert raised.value.code == "quiesce_lost"
    nobody_waits(postgres, valkey)


def test_a_server_that_was_restarted_is_told_at_the_release(endpoints, postgres, valkey):
    with pause_writes(endpoints, silent) as quiet:
        valkey.kill()
        valkey.start()
        with pytest.raises(RagopsError) as raised:
            quiet.release()
    assert raised.value.code == "quiesce_lost"
    nobody_waits(postgres, valkey)


HOLDER = """
import json, sys, time
from ragops.operations.backup.quiesce import pause_writes
from ragops.services.contract import Endpoint
from ragops.services.redis import quiesce as redis_quiet
from ragops.services.timescaledb import quiesce as database_quiet

given = json.loads(sys.stdin.readline())
endpoints = {name: Endpoint.from_dict(values, given["secrets"]) for name, values in given["endpoints"].items()}
with HOLD:
    print("held", flush=True)
    time.sleep(600)
"""
EVERYTHING = "pause_writes(endpoints, lambda words: None, pause=3.0)"
BRIEFLY = (
    "database_quiet.pause_writes(endpoints['timescaledb'], idle=2.0), redis_quiet.pause_writes(endpoints['redis'], 2.0)"
)


@contextmanager
def holder(endpoints: dict[str, Endpoint], hold: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds, until somebody ends it."""
    given = {
        "endpoints": {name: endpoint.to_dict() for name, endpoint in endpoints.items()},
        "secrets": {
            login.secret: login.password.get_secret_value()
            for endpoint in endpoints.values()
            for login in endpoint.logins.values()
        },
    }
    command = [sys.executable, "-c", HOLDER.replace("HOLD:", f"{hold}:")]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(json.dumps(given) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait(LIMIT)
        process.stdin.close()
        process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_holder_that_is_killed_blocks_nobody_for_long(endpoints, postgres, valkey, number):
    with holder({**endpoints, "api": valkey.endpoint}, EVERYTHING) as process:
        assert paused(valkey)
        assert announced(valkey)
        with pytest.raises(psycopg.errors.QueryCanceled):
            postgres.sql("SET statement_timeout = '300ms'; INSERT INTO load.rows (kind) VALUES ('held off')")
        process.send_signal(number)
        process.wait(LIMIT)
        # The server would end the transaction by itself only after a minute: this is the end of the connection.
        postgres.sql("SET statement_timeout = '10s'; INSERT INTO load.rows (kind) VALUES ('after')")
        wait_until(lambda: not announced(valkey), LIMIT)
        wait_until(lambda: not paused(valkey), LIMIT)
        nobody_waits(postgres, valkey)


def test_a_holder_that_hangs_blocks_nobody_for_long(endpoints, postgres, valkey):
    with holder(endpoints, BRIEFLY) as process:
        assert paused(valkey)
        assert locked(postgres)
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: not paused(valkey), LIMIT)
        wait_until(lambda: not locked(postgres), LIMIT)
        nobody_waits(postgres, valkey)


def test_the_application_may_neither_pause_nor_end_a_pause(valkey):
    with redis_quiet.pause_writes(valkey.endpoint), valkey.redis("application") as client:
        for words in (("CLIENT", "UNPAUSE"), ("CLIENT", "PAUSE", "10", "WRITE")):
            with pytest.raises(redis_package.exceptions.NoPermissionError):
                client.execute_command(*words)
        assert paused(valkey)


# --- the API ---------------------------------------------------------------------------------------------------------


def logged(stack: Stack, identifiers: list[str]) -> list[tuple[str, datetime]]:
    query = "SELECT request_id, asked_at FROM rag.query_logs WHERE request_id = ANY(%s) ORDER BY asked_at"
    return stack.sql(query, identifiers)


def ask_once(stack: Stack) -> None:
    with stack.client() as client:
        ask(client, f"anything {uuid.uuid4()}").raise_for_status()


def test_the_api_answers_during_a_hold_and_writes_its_log_afterwards(stack):
    identifiers = [uuid.uuid4().hex for _ in range(30)]
    waiting = "SELECT query FROM pg_stat_activity WHERE application_name = 'ragops-api' AND wait_event_type = 'Lock'"
    stores = {name: stack.engines[name].endpoint for name in ("redis", "timescaledb")} | {"api": stack.endpoint()}
    with stack.client() as client:
        asking = Loop("asking", lambda: ask_once(stack))
        asking.goes_on()
        with pause_writes(stores, silent) as quiet:
            for number, identifier in enumerate(identifiers):
                response = client.post(
                    "/api/v1/search",
                    json={"collection": "manuals", "query": f"secrets {number % 10}"},
                    headers={"X-Request-Id": identifier},
                )
                assert response.status_code == 200, response.text
                assert response.json()["cached"] is False, "nothing can have been put into the cache"
                assert stack.sql(waiting) == []
            asking.goes_on()
            assert logged(stack, identifiers) == []
            for name in ("redis", "database", "qdrant"):
                breaker = stack.breaker(name)
                assert (breaker["state"], breaker["failures"]) == ("closed", 0), breaker
            assert "ragops_api_read_only 1.0" in client.get("/metrics").text
            assert client.get("/readyz").json()["status"] == "ok"
            released = now()
            quiet.release()
        asking.goes_on()
        asking.over.set()
        asking.thread.join(LIMIT)
        assert asking.failure is None
        wait_until(lambda: len(logged(stack, identifiers)) == len(identifiers), LIMIT)
        assert [identifier for identifier, _ in logged(stack, identifiers)] == identifiers
        assert all(quiet.instant < at < released for _, at in logged(stack, identifiers))
        wait_until(lambda: "ragops_api_read_only 0.0" in client.get("/metrics").text, LIMIT)
        ask(client, "secrets of the time afterwards")
        assert ask(client, "secrets of the time afterwards").json()["cached"] is True
