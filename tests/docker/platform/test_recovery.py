"""Recovery points of the whole platform on its real engines: writers, damage, kills, drills, a new machine.

What came back is compared with what was there by asking the engines themselves.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
import redis

from ragops.config import secrets
from ragops.runtimes.docker.names import TEMPORARY
from ragops.runtimes.docker.sandbox import SANDBOX
from ragops.services.qdrant.names import RESTORE_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ragops.adapters.docker.values import Container

pytestmark = [pytest.mark.engine, pytest.mark.fault]

NODES = ("qdrant-1", "qdrant-2", "qdrant-3")
# Large enough for a kill to hit it half-way.
BULK, BULK_POINTS, DIMENSIONS = "bulk", 6000, 256
COLLECTION = "texts"  # of documents, which the platform ingests
LOGS = 1500  # over four days, twice


@dataclass(frozen=True)
class Safe:
    """A filled platform whose recovery points are encrypted; `identity` opens them, `token` opens the gateway."""

    whole: Any
    identity: Path
    token: str
    values: dict[str, str]
    until: datetime  # what is older is not written to any more

    def take(self, *options: str) -> dict[str, Any]:
        return self.whole.json("backup", "run", *options)

    def restore(self, point: str, *options: str, code: int | None = 0) -> Any:
        return self.whole.json("restore", point, "--yes", "--identity", str(self.identity), *options, code=code)

    @property
    def restoring(self) -> tuple[str, ...]:
        """What a restore without a way back is called with."""
        return ("restore", "--yes", "--no-safety", "--identity", str(self.identity))

    # --- what it holds -------------------------------------------------------------------------------------------

    def held(self) -> dict[str, Any]:
        """Everything, by the engines' own word, and every node's counts and aliases."""
        counted = {"counts": self.counts(), "aliases": self.aliases(), "timescale": self.timescale()}
        return {**self.whole.contents(), **counted}

    def aliases(self) -> dict[str, str]:
        """The collection of each alias; the same on every node."""
        every = [client.get("/aliases").json()["result"]["aliases"] for client in self.nodes()]
        found = [{one["alias_name"]: one["collection_name"] for one in aliases} for aliases in every]
        assert found == [found[0]] * len(NODES), found
        return found[0]

    def counts(self) -> dict[str, list[int]]:
        """Points by collection; the same on every node, which a caller compares."""
        found: dict[str, list[int]] = {}
        for client in self.nodes():
            for name in names_of(client):
                answer = client.post(f"/collections/{name}/points/count", json={"exact": True})
                assert answer.status_code == 200, answer.text
                found.setdefault(name, []).append(answer.json()["result"]["count"])
        assert all(len(set(numbers)) == 1 and len(numbers) == 3 for numbers in found.values()), found
        return found

    def timescale(self) -> dict[str, Any]:
        """What TimescaleDB Community has beside rows: aggregates, with what lies in them, jobs, chunks."""
        queries = {
            "aggregates": "SELECT view_name, materialized_only FROM timescaledb_information.continuous_aggregates",
            "jobs": "SELECT proc_name, schedule_interval::text, config - 'hypertable_id' - 'mat_hypertable_id' #>> '{}'"
            " FROM timescaledb_information.jobs WHERE proc_name LIKE 'policy_re%%'",
            "hourly": "SELECT t::text FROM rag.query_stats_hourly t WHERE bucket < %(until)s",
            "daily": "SELECT t::text FROM rag.query_stats_daily t WHERE bucket < %(until)s",
            "logs": "SELECT count(*), count(DISTINCT request_id) FROM rag.query_logs WHERE asked_at < %(until)s",
            "past": "SELECT sum(queries) FROM rag.query_stats_daily WHERE bucket < %(until)s - interval '90 days'",
        }
        with self.owner() as connection:
            until = {"until": self.until}
            return {name: sorted(connection.execute(query, until).fetchall()) for name, query in queries.items()}

    def owner(self) -> psycopg.Connection[Any]:
        values = self.values
        password = secrets.load(self.whole.root / ".ragops" / "secrets" / "default.json")["timescaledb_owner"]
        where = f"host=127.0.0.1 port={values['TIMESCALEDB_PORT']} dbname={values['TIMESCALEDB_DATABASE']}"
        return psycopg.connect(f"{where} user=rag_owner password={password}", autocommit=True)

    def nodes(self) -> Iterator[httpx.Client]:
        values = self.values
        for url in values["QDRANT_URLS"].split(","):
            with httpx.Client(base_url=url, headers={"api-key": values["QDRANT_API_KEY"]}, timeout=60) as client:
                yield client

    def replicas(self) -> set[str]:
        """The states of all replicas of all collections, on every node's word."""
        found = set()
        for client in self.nodes():
            for name in names_of(client):
                shards = client.get(f"/collections/{name}/cluster").json()["result"]
                found |= {shard["state"] for shard in (*shards["local_shards"], *shards["remote_shards"])}
                assert not shards["shard_transfers"]
        return found

    # --- nothing left --------------------------------------------------------------------------------------------

    def assert_nothing_left(self) -> None:
        """No snapshot on a node, no copy beside, no scratch container or database, no room on the way."""
        docker, mine = self.whole.docker, self.whole.names.labels()
        for node in NODES:
            command = ["find", "/qdrant/storage/current/snapshots", "/qdrant/snapshots", "-type", "f"]
            assert docker.exec(self.whole.name(node), command).text.split() == []
        for client in self.nodes():
            assert [name for name in names_of(client) if name.endswith(RESTORE_SUFFIX)] == []
        assert self.sandboxes() == []
        running = docker.api.top(self.whole.name("timescaledb"))["Processes"]
        assert [row[-1] for row in running if "pg_dump" in row[-1] or "pg_restore" in row[-1]] == []
        assert [one.name for one in docker.containers(mine) if TEMPORARY in one.labels] == []
        with self.owner() as connection:
            rows = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE '%_restore_%'").fetchall()
        assert rows == []
        staging = self.whole.root / ".ragops" / "staging" / "default"
        assert [path.name for path in staging.iterdir() if path.name != "journal"] == []
        assert json.loads((staging / "journal" / "qdrant").read_text()) == []
        repository = self.whole.root / "backups" / "default"
        assert {path.name for path in repository.iterdir() if not (path / "manifest.json").exists()} <= {"kept"}
        self.whole.assert_nothing_but_the_platform()

    def sandboxes(self) -> list[Container]:
        return [one for one in self.whole.docker.containers({}) if one.labels.get(SANDBOX, "").startswith(self.prefix)]

    @property
    def prefix(self) -> str:
        return f"{self.whole.names.network}-"

    def settled(self) -> None:
        """Well but for one thing: what restores keep of the data from before is not in the way."""
        self.whole.settled()
        assert self.replicas() == {"Active"}
        self.assert_nothing_left()


def names_of(client: httpx.Client) -> list[str]:
    return [item["name"] for item in client.get("/collections").json()["result"]["collections"]]


def fill_bulk(whole: Any) -> None:
    """A collection of some size, with an index and an alias."""
    values = whole.outputs()
    with httpx.Client(
        base_url=values["QDRANT_URL"], headers={"api-key": values["QDRANT_API_KEY"]}, timeout=120
    ) as client:
        body = {"vectors": {"size": DIMENSIONS, "distance": "Cosine"}, "shard_number": 6, "replication_factor": 2}
        assert client.put(f"/collections/{BULK}", json=body).status_code == 200
        for first in range(0, BULK_POINTS, 500):
            points = [
                {"id": n, "vector": [float((n * k) % 101 + 1) for k in range(1, DIMENSIONS + 1)], "payload": {"n": n}}
                for n in range(first, first + 500)
            ]
            answer = client.put(f"/collections/{BULK}/points", params={"wait": "true"}, json={"points": points})
            assert answer.status_code == 200, answer.text
        index = {"field_name": "n", "field_schema": "integer"}
        assert client.put(f"/collections/{BULK}/index", params={"wait": "true"}, json=index).status_code == 200
        alias = {"actions": [{"create_alias": {"alias_name": "current", "collection_name": BULK}}]}
        assert client.post("/collections/aliases", json=alias).status_code == 200


def fill_logs(safe: Safe) -> None:
    """Questions of days just gone, and of days so long ago that retention has left only their figures."""
    with safe.owner() as connection:
        for start in ("1 day", "100 days"):
            connection.execute(
                "INSERT INTO rag.query_logs (asked_at, request_id, duration_ms)"
                " SELECT now() - %s::interval - n * interval '4 minutes', gen_random_uuid(), n %% 50"
                " FROM generate_series(1, %s) AS n",
                [start, LOGS],
            )
        for view in ("rag.query_stats_hourly", "rag.query_stats_daily"):
            connection.execute("CALL refresh_continuous_aggregate(%s, NULL, now() - interval '1 day')", [view])
        jobs = "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'"
        for (job,) in connection.execute(jobs).fetchall():
            connection.execute("CALL run_job(%s)", [job])
    held = safe.timescale()
    assert held["past"] == [(LOGS,)]
    assert held["logs"][0][0] < LOGS


@pytest.fixture(scope="module")
def safe(needed: Any, ragops: Any, module_workspace: Path, make_whole: Any) -> Iterator[Safe]:
    """One platform for all tests here; each leaves it well."""
    whole = make_whole(module_workspace / "project", needed, ragops)
    identity = module_workspace / "identity.txt"
    try:
        recipient = whole.json("backup", "keygen", str(identity))["recipient"]
        whole.configure(backup={"recipients": [recipient]})
        whole.up()
        whole.fill()
        fill_bulk(whole)
        made = Safe(whole, identity, whole.token(), whole.outputs(), datetime.now(tz=UTC) - timedelta(days=2))
        fill_logs(made)
        whole.run("backup", "run", "--keep")
        whole.run("backup", "verify", "--deep", "--identity", str(identity))  # health asks for a proof that it restores
        yield made
    finally:
        whole.remove()


@pytest.fixture
def well(safe: Safe) -> Safe:
    """What a failed test left is put right by the first recovery point."""
    if safe.whole.run("--json", "health", code=None).code != 0:
        if safe.whole.run("up", "--yes", code=None).code != 0:
            safe.restore(safe.whole.json("backup", "list")["points"][-1]["id"], "--no-safety", "--restart")
        safe.whole.settled()
    return safe


# --- damage ----------------------------------------------------------------------------------------------------------


def damage(safe: Safe) -> None:
    """A table dropped, a collection deleted, the cache killed and its volume emptied."""
    with safe.owner() as connection:
        connection.execute("DROP TABLE rag.collections CASCADE")
    for client in safe.nodes():
        assert client.delete(f"/collections/{BULK}").status_code == 200
    whole = safe.whole
    whole.docker.api.kill(whole.name("redis"))
    container = whole.container("redis")
    done = whole.docker.run_once(
        f"{whole.names.network}-empty", container.image_id, ["sh", "-c", "rm -rf /data/*"],
        mounts={whole.names.data_volume("redis"): "/data"}, user="0", capabilities=["DAC_OVERRIDE", "FOWNER"],
    )  # fmt: skip
    assert done.code == 0, done.error_text


def test_everything_is_back_after_damage(well: Safe) -> None:
    """And what TimescaleDB Community has: aggregates with figures of logs long gone, policies, jobs that run."""
    before, answers = well.held(), well.whole.answers(well.token)
    assert {row[0] for row in before["timescale"]["jobs"]} == {
        "policy_refresh_continuous_aggregate", "policy_retention",
    }  # fmt: skip
    taken = well.take("--quiesce")
    assert taken["recipients"]
    assert taken["quiesced"]
    verified = well.whole.run("backup", "verify", "--deep", "--identity", str(well.identity), taken["id"])
    assert "every engine has restored all of its parts" in verified.out + verified.err
    damage(well)
    assert well.whole.run("health", code=None).code == 3
    well.restore(taken["id"])
    assert well.held() == before
    assert well.whole.answers(well.token) == answers
    well.settled()
    with well.owner() as connection:  # the past cannot be computed again: a refresh of what is due leaves it
        jobs = "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name LIKE 'policy_re%'"
        for (job,) in connection.execute(jobs).fetchall():
            connection.execute("CALL run_job(%s)", [job])
    assert well.timescale() == before["timescale"]


def test_a_collection_built_again_comes_back_as_it_was_before_and_after(well: Safe) -> None:
    """Dense and sparse vectors, and the alias of the new build; the tests that follow have the new build alone."""
    whole, built = well.whole, f"{COLLECTION}@2"
    before, answers, first = well.held(), whole.answers(well.token), well.take()
    assert before["aliases"] == {"current": BULK}
    whole.run("ingest", "--rebuild", COLLECTION)
    rebuilt, again, second = well.held(), whole.answers(well.token), well.take()
    assert rebuilt["aliases"] == {"current": BULK, f"{COLLECTION}@live": built}
    assert rebuilt["counts"][built] == before["counts"][COLLECTION]
    for client in well.nodes():
        params = client.get(f"/collections/{built}").json()["result"]["config"]["params"]
        assert params["vectors"]
        assert params["sparse_vectors"]
    well.restore(first["id"])
    assert well.held() == before
    assert whole.answers(well.token) == answers
    well.restore(second["id"], "--no-safety")
    whole.run("ingest", "--drop-old", COLLECTION)
    assert COLLECTION not in well.counts()
    third = well.take()
    for client in well.nodes():
        client.delete(f"/collections/{built}")
    assert whole.run("health", code=None).code == 3
    well.restore(third["id"], "--no-safety")
    assert well.held()["counts"] == {name: found for name, found in rebuilt["counts"].items() if name != COLLECTION}
    assert well.aliases() == rebuilt["aliases"]
    assert whole.answers(well.token) == again
    well.settled()


# --- while applications write ----------------------------------------------------------------------------------------


@dataclass
class Writer:
    """Writes numbers one after the other, and notes when each was begun and acknowledged."""

    write: Callable[[int], object]
    done: list[tuple[datetime, datetime]] = field(default_factory=list)
    failure: BaseException | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Writer:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._over.is_set():
            began = datetime.now(tz=UTC)
            try:
                self.write(len(self.done))
            except BaseException as error:
                self.failure = error
                return
            self.done.append((began, datetime.now(tz=UTC)))
            time.sleep(0.005)

    def assert_cut_at(self, instant: datetime, kept: set[int]) -> None:
        """Everything that was acknowledged before the instant is there, nothing that began after it."""
        assert self.failure is None, self.failure
        assert kept == set(range(len(kept))), "a number in the middle is missing"
        begun = {number for number, (began, _) in enumerate(self.done) if began <= instant}
        acknowledged = {number for number, (_, done) in enumerate(self.done) if done <= instant}
        assert acknowledged <= kept <= begun
        assert 10 < len(kept) < len(self.done) - 10


def test_under_writers_all_is_of_one_instant(well: Safe, load: Any) -> None:
    values = well.values
    cache = redis.Redis.from_url(values["REDIS_URL"], socket_timeout=60)
    with contextlib.closing(cache), well.owner() as rows:
        rows.execute("DROP TABLE IF EXISTS public.written")
        rows.execute("CREATE TABLE public.written (number int PRIMARY KEY)")
        row = partial(rows.execute, "INSERT INTO public.written VALUES (%s)")
        with (
            load(well.whole, well.token) as running,
            Writer(lambda number: row([number])) as table,
            Writer(lambda number: cache.set(f"written:{number}", number)) as keys,
        ):
            running.goes_on()
            before = set(running.acknowledged)
            taken = well.take("--quiesce")
            running.goes_on()
        print(running.said(), f"{len(table.done)} rows, {len(keys.done)} keys; quiesced {taken['quiesced']}")
        assert running.failed == []
        assert running.refused == []
    well.restore(taken["id"], "--no-safety")
    with well.owner() as connection:
        numbers = {row[0] for row in connection.execute("SELECT number FROM public.written").fetchall()}
        connection.execute("DROP TABLE public.written")
    with contextlib.closing(redis.Redis.from_url(values["REDIS_URL"], decode_responses=True)) as cache:
        names = set(cache.scan_iter("written:*", count=1000))
        if names:
            cache.delete(*names)
    instant = datetime.fromisoformat(taken["quiesced"])
    table.assert_cut_at(instant, numbers)
    keys.assert_cut_at(instant, {int(name.partition(":")[2]) for name in names})
    assert before <= well.whole.contents()["qdrant writes"].keys()
    well.settled()


# --- nodes that die meanwhile ----------------------------------------------------------------------------------------


def during(safe: Safe, point: Callable[[], object], then: Callable[[], object], *arguments: str) -> tuple[int, str]:
    """Run a command, do something at a point of it; its exit code and what it said."""
    process = safe.whole.ragops.start(*arguments, cwd=safe.whole.root, env=safe.whole.env)
    try:
        deadline = time.monotonic() + 180
        while not point():
            assert process.poll() is None, f"it was over before the point: {process.communicate()}"
            assert time.monotonic() < deadline, "the point was never reached"
            time.sleep(0.01)
        then()
        out, err = process.communicate(timeout=400)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=10)
    return process.returncode, out + err


def snapshots_are_made(safe: Safe) -> bool:
    """A server has been asked for one."""
    journal = safe.whole.root / ".ragops" / "staging" / "default" / "journal" / "qdrant"
    try:
        return bool(json.loads(journal.read_text()))
    except (OSError, ValueError):
        return False


def made_beside(safe: Safe) -> bool:
    """A snapshot is being proven in a collection beside."""
    return any(name.endswith(RESTORE_SUFFIX) for client in safe.nodes() for name in names_of(client))


def being_replaced(safe: Safe) -> bool:
    """A collection is away, its proven copy is there."""
    every = [names_of(client) for client in safe.nodes()]
    return all(f"{BULK}{RESTORE_SUFFIX}" in names and BULK not in names for names in every)


def on_a_sandbox(safe: Safe) -> bool:
    """An engine reads or writes a file."""
    return bool(safe.sandboxes())


def database_beside(safe: Safe) -> bool:
    """The database is being filled anew."""
    with safe.owner() as connection:
        return bool(connection.execute("SELECT 1 FROM pg_database WHERE datname LIKE '%_restore_%'").fetchall())


def cache_is_down(safe: Safe) -> bool:
    """Its data are being exchanged."""
    return not safe.whole.container("redis").state.running


@pytest.mark.parametrize("node", NODES)
def test_a_node_dies_in_the_middle_of_a_backup(well: Safe, node: str) -> None:
    """Every shard is on two nodes: the recovery point is whole all the same."""
    before, kill = well.held(), partial(well.whole.docker.api.kill, well.whole.name(node))
    code, said = during(well, partial(snapshots_are_made, well), kill, "--json", "backup", "run")
    assert code == 0, said
    taken = json.loads(said[said.index("{") : said.rindex("}") + 1])
    assert well.whole.container(node).state.status == "exited"
    well.whole.up()
    well.whole.settled()
    well.take()  # the first run after the node's return removes what it had made
    well.restore(taken["id"], "--no-safety")
    assert well.held() == before
    well.settled()


@pytest.mark.parametrize("point", [made_beside, being_replaced])
def test_a_node_dies_in_the_middle_of_a_restore(well: Safe, point: Callable[[Safe], bool]) -> None:
    before, taken = well.held(), well.take()
    kill = partial(well.whole.docker.api.kill, well.whole.name("qdrant-2"))
    code, said = during(well, partial(point, well), kill, *well.restoring, taken["id"])
    print(code, said)
    assert code in (1, 3), said
    assert "restore again" in said or "run the command again" in said or "ragops" in said
    well.whole.up()
    well.restore(taken["id"], "--no-safety")
    assert well.held() == before
    well.settled()


# --- ragops killed with all that it started --------------------------------------------------------------------------


@pytest.mark.parametrize("point", [on_a_sandbox, snapshots_are_made])
def test_a_killed_backup_leaves_nothing_that_looks_whole_and_the_next_clears_up(
    well: Safe, end_at: Any, point: Callable[[Safe], bool]
) -> None:
    before = well.held()
    known = {one["id"] for one in well.whole.json("backup", "list")["points"]}
    code, _said = end_at(well.whole, partial(point, well), signal.SIGKILL, "backup", "run", "--quiesce")
    assert code == -signal.SIGKILL
    assert {one["id"] for one in well.whole.json("backup", "list")["points"]} == known
    with well.owner() as connection:  # nobody is held by a run that is gone
        connection.execute("CREATE TABLE public.later (); DROP TABLE public.later")
    taken = well.take("--quiesce")
    assert well.held() == before
    well.settled()
    well.whole.run("backup", "verify", "--deep", "--identity", str(well.identity), taken["id"])


@pytest.mark.parametrize("point", [on_a_sandbox, database_beside, cache_is_down, made_beside, being_replaced])
def test_a_killed_restore_is_completed_by_the_next(well: Safe, end_at: Any, point: Callable[[Safe], bool]) -> None:
    before, answers, taken = well.held(), well.whole.answers(well.token), well.take()
    with well.owner() as connection:
        connection.execute("DELETE FROM rag.chunks")
    code, _said = end_at(well.whole, partial(point, well), signal.SIGKILL, *well.restoring, taken["id"])
    assert code == -signal.SIGKILL
    well.restore(taken["id"], "--no-safety")
    assert well.held() == before
    assert well.whole.answers(well.token) == answers
    well.settled()


# --- proof, and a new machine ----------------------------------------------------------------------------------------


def everything(safe: Safe) -> dict[str, Any]:
    """What Docker has under the platform's name and names that begin so, and since when its containers run."""
    api, name = safe.whole.docker.api, {"name": safe.whole.settings["name"]}
    return {
        "containers": {raw["Id"]: raw["Names"] for raw in api.containers(all=True, filters=name)},
        "volumes": {raw["Name"] for raw in api.volumes(filters=name)["Volumes"] or ()},
        "networks": {raw["Id"] for raw in api.networks(filters=name)},
        "started": {one.name: one.state.started for one in safe.whole.docker.containers(safe.whole.names.labels())},
    }


def test_a_drill_proves_it_beside_the_live_platform(well: Safe) -> None:
    before, held = everything(well), well.held()
    taken = well.take("--quiesce")
    name = f"{well.whole.settings['name']}-drill-"
    look = lambda: len(well.whole.docker.api.containers(filters={"name": name})) == 7  # noqa: E731
    code, said = during(
        well, look, lambda: None, "--json", "backup", "drill", "latest", "--identity", str(well.identity)
    )
    assert code == 0, said
    assert json.loads(said[said.index("{") : said.rindex("}") + 1])["point"] == taken["id"]
    assert everything(well) == before
    assert well.held() == held
    assert not list((well.whole.root / ".ragops" / "drills" / "default").iterdir())
    drill = next(
        check
        for probe in well.whole.json("health")["probes"]
        if probe["service"] == "backup"
        for check in probe["checks"]
        if "drill" in check["name"]
    )
    assert drill["status"] == "ok", drill
    well.settled()


def test_recovered_into_an_empty_folder_after_all_is_gone(well: Safe, make_whole: Any, module_workspace: Path) -> None:
    """Comes last: the platform goes on in its new folder."""
    held, answers = well.held(), well.whole.answers(well.token)
    well.take("--quiesce")
    whole = well.whole
    kept = module_workspace / "kept"
    shutil.copytree(whole.root / "backups", kept)
    whole.run("down", "--purge-data", "--yes")
    assert whole.ours() == {"containers": [], "volumes": [], "networks": []}
    shutil.move(whole.root, module_workspace / "gone")
    whole.root.mkdir()
    whole.run("recover", str(kept), "--identity", str(well.identity), "--yes")
    assert well.held() == held
    assert whole.answers(well.token) == answers
    well.take()
    well.settled()
