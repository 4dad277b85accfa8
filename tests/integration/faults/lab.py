"""A platform of three real engines without Pulumi, and command lines on it that end where a test wants them to."""

from __future__ import annotations

import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import psycopg
import yaml

from ragops.adapters import redis_client
from ragops.config.paths import ProjectPaths
from ragops.runtimes.embedded.control import ProcessControl
from ragops.runtimes.embedded.processes import supervisor
from ragops.services import SERVICES
from ragops.services.qdrant.names import RESTORE_SUFFIX, is_internal
from tests.engines import make_engine
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ragops.services.contract import Endpoint

NAMES = ("timescaledb", "qdrant", "redis")
COLLECTIONS = ("books", "notes")
VECTOR = 4
_FOLDER = Path(__file__).parent
_TOOLS = ("pg_dump", "pg_restore", "valkey-server", "valkey-check-rdb")


@dataclass(frozen=True)
class Ended:
    """How a command line ended; `trace` are its side effects in order."""

    code: int
    out: str
    err: str
    trace: tuple[str, ...]

    def json(self) -> Any:
        """Stdout as one JSON document."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The error of a command with `--json`."""
        return self.json()["error"]


class Driver:
    """The process that forks for every command line; see driver.py."""

    def __init__(self, folder: Path, name: str = "signals") -> None:
        self._folder, self._signals = folder, folder / name
        self._signals.mkdir()
        (folder / "tmp").mkdir(mode=0o755, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAGOPS_", "PULUMI_"))}
        self._process = subprocess.Popen(
            [sys.executable, str(_FOLDER / "driver.py")], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**kept, "TMPDIR": str(folder / "tmp")}, encoding="utf-8",
        )  # fmt: skip
        assert self._answer() == "ready"

    def begin(self, cwd: Path, arguments: tuple[str, ...], **points: Any) -> None:
        """Start a command line; `end` waits for it."""
        for name in ("paused", "go"):
            (self._signals / name).unlink(missing_ok=True)
        values = {
            "arguments": arguments, "cwd": str(cwd), "folder": str(self._folder), "signals": str(self._signals),
            "trace": str(self._signals / "trace"),
        }  # fmt: skip
        assert self._process.stdin
        self._process.stdin.write(json.dumps({**values, **points}) + "\n")
        self._process.stdin.flush()

    def paused(self) -> bool:
        """Whether it waits at its point."""
        return (self._signals / "paused").exists()

    def kill(self) -> None:
        """Have the kernel end it where it waits."""
        os.kill(int((self._signals / "paused").read_text()), signal.SIGKILL)

    def go(self) -> None:
        """Let it go on."""
        (self._signals / "go").touch()

    def ended(self) -> bool:
        """Whether it is over; waits a moment."""
        return bool(select.select([self._process.stdout], [], [], 0.005)[0])

    def end(self) -> Ended:
        """Wait for its end."""
        code = int(self._answer())
        out, err, trace = ((self._signals / name).read_text() for name in ("out", "err", "trace"))
        return Ended(code, out, err, tuple(line.partition(" ")[2] for line in trace.splitlines()))

    def close(self) -> None:
        """No more forks."""
        self._process.communicate(timeout=30)

    def _answer(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()


@dataclass
class Lab:
    """The project, its engines and what they hold: contents A or B, which have no row in common."""

    folder: Path
    ports: Mapping[str, int]
    driver: Driver = field(init=False, repr=False)
    second: Driver = field(init=False, repr=False)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    recipient: str = ""
    on_small_disk: bool = False
    _known: dict[str, dict[str, str]] = field(default_factory=dict)

    # --- set-up -----------------------------------------------------------------

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.folder / "project"

    @property
    def paths(self) -> ProjectPaths:
        """Where things lie in it."""
        return ProjectPaths(self.root, "default")

    def build(self) -> None:
        """Write the project, start the engines, fill them."""
        from pyrage import x25519

        self.root.mkdir(exist_ok=True)
        identity = x25519.Identity.generate()
        self.recipient = str(identity.to_public())
        (self.folder / "identity.txt").write_text(f"{identity}\n")
        self.configure()
        for name in NAMES:
            engine = make_engine(self.root, name, self.ports[name])
            self.endpoints[name] = engine.endpoint
            supervisor.ensure_running(engine.spec)
        values = {name: endpoint.to_dict() for name, endpoint in self.endpoints.items()}
        self.paths.endpoints.write_text(json.dumps(values))
        for service in SERVICES:
            if service.name in self.endpoints:
                service.prepare(self.endpoints[service.name])
        self.driver = Driver(self.folder)

    def configure(self, **backup: Any) -> None:
        """Write ragops.yaml anew, its section `backup` encrypted and with a copy unless something else is said."""
        usual = {
            "repository": "backups", "copies": [str(self.folder / "copies")], "recipients": [self.recipient],
            "identity_file": str(self.folder / "identity.txt"),
        }  # fmt: skip
        values = {"name": "test", "runtime": "embedded", "backup": {**usual, **backup}}
        text = yaml.safe_dump({**values, **{name: {"port": self.ports[name]} for name in NAMES}})
        (self.root / "ragops.yaml").write_text(text)

    def close(self) -> None:
        """End everything."""
        for driver in ("driver", "second"):
            if hasattr(self, driver):
                getattr(self, driver).close()
        for name in self.endpoints:
            with suppress(Exception):
                self.kill(name)

    # --- engines -----------------------------------------------------------------

    def runs(self, name: str) -> bool:
        """Whether its process runs."""
        return ProcessControl(Path(self.endpoints[name].runtime_id)).is_running()

    def start(self, *names: str) -> None:
        """Start what is down, and wait until it answers."""
        for name in names or NAMES:
            if not self.runs(name):
                ProcessControl(Path(self.endpoints[name].runtime_id)).start()
            wait_until(lambda: self._answers(name), 60, f"an answer of {name}")  # noqa: B023

    def _answers(self, name: str) -> bool:
        with suppress(Exception):
            self.counts(name)
            return True
        return False

    def kill(self, name: str) -> None:
        """SIGKILL to its whole group, as the kernel does when memory runs out."""
        supervisor.stop(Path(self.endpoints[name].runtime_id), "SIGKILL", 10)

    def counts(self, name: str) -> object:
        """Something that only an engine that serves can say."""
        if name == "timescaledb":
            return self.sql("SELECT 1", "postgres")
        if name == "redis":
            with self.redis() as client:
                assert not client.info("persistence")["loading"]
            return True
        return self.qdrant("GET", "/collections")

    def sql(self, statement: str, database: str = "rag") -> list[tuple[Any, ...]]:
        """Rows, as the operator."""
        with self.database(database) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def database(self, name: str = "rag") -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of the operator in autocommit."""
        login = self.endpoints["timescaledb"].logins["operator"]
        return psycopg.connect(
            host="127.0.0.1", port=self.ports["timescaledb"], dbname=name, user=login.user,
            password=login.password.get_secret_value(), autocommit=True, connect_timeout=10,
        )  # fmt: skip

    def redis(self, database: int = 0) -> Any:
        """A client of the operator."""
        login = self.endpoints["redis"].logins["operator"]
        client = redis_client.connect("127.0.0.1", self.ports["redis"], login.user, login.password)
        if database:
            client.select(database)
        return client

    def qdrant(self, method: str, path: str, body: Any = None) -> Any:
        """The result of one request."""
        key = self.endpoints["qdrant"].logins["operator"].password.get_secret_value()
        with httpx.Client(trust_env=False, verify=False, timeout=30, headers={"api-key": key}) as client:
            answer = client.request(method, f"http://127.0.0.1:{self.ports['qdrant']}{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()["result"]

    # --- contents -----------------------------------------------------------------

    def fill(self, which: str) -> None:
        """Replace all that the engines hold by contents `which`, the same ones every time."""
        self.start()
        self._fill_database(which)
        self._fill_redis(which)
        self._fill_qdrant(which)
        found = self.contents()
        assert self._known.setdefault(which, found) == found, "the same contents again, or nothing can be compared"

    def _fill_database(self, which: str) -> None:
        rows = 60 if which == "A" else 45
        for (name,) in self.sql("SELECT datname FROM pg_database WHERE datname ~ '^rag_(before|restore)_'", "postgres"):
            self.sql(f'DROP DATABASE "{name}" WITH (FORCE)', "postgres")
        if not self.sql("SELECT 1 FROM pg_database WHERE datname = 'rag'", "postgres"):
            self.sql("CREATE DATABASE rag TEMPLATE template0", "postgres")
        self.sql(f"""
            DROP SCHEMA IF EXISTS rag CASCADE; CREATE SCHEMA rag;
            CREATE TABLE rag.documents (id int PRIMARY KEY, body text NOT NULL);
            CREATE TABLE rag.chunks (
                id int PRIMARY KEY, document int NOT NULL REFERENCES rag.documents, body text NOT NULL);
            CREATE INDEX ON rag.chunks (document);
            CREATE TABLE rag.empty (id int);
            INSERT INTO rag.documents SELECT i, '{which}' || repeat(md5(i::text), 9) FROM generate_series(1, {rows}) i;
            INSERT INTO rag.chunks SELECT i, 1 + i % {rows}, '{which}' || md5(i::text) FROM generate_series(1, 300) i;
        """)

    def _fill_redis(self, which: str) -> None:
        with self.redis() as client:
            client.flushall()
            pipe = client.pipeline()
            for number in range(50):
                pipe.set(f"{which}:{number}", hashlib.sha256(f"{which}{number}".encode()).hexdigest())
            pipe.hset(f"{which}:hash", mapping={str(number): which for number in range(9)})
            pipe.rpush("list", *(f"{which}{number}" for number in range(9)))
            pipe.set(f"{which}:mortal", "x", ex=7 * 86_400)
            pipe.execute()
        with self.redis(1) as client:
            client.set(f"{which}:other", which)

    def _fill_qdrant(self, which: str) -> None:
        for item in self.qdrant("GET", "/collections")["collections"]:
            if item["name"].endswith(RESTORE_SUFFIX) or not is_internal(item["name"]):
                self.qdrant("DELETE", f"/collections/{item['name']}")
        for size, name in enumerate(COLLECTIONS):
            path = f"/collections/{name}"
            self.qdrant("PUT", path, {"vectors": {"size": VECTOR, "distance": "Dot"}})
            points = [
                {"id": number, "vector": [ord(which), number, 0.5, 0.25], "payload": {"of": which, "number": number}}
                for number in range(30 + size * 10)
            ]
            self.qdrant("PUT", f"{path}/points?wait=true", {"points": points})
        action = {"create_alias": {"alias_name": "shelf", "collection_name": COLLECTIONS["AB".index(which)]}}
        self.qdrant("POST", "/collections/aliases", {"actions": [action]})

    def expected(self, which: str) -> dict[str, str]:
        """The contents that `fill(which)` made."""
        return self._known[which]

    def contents(self) -> dict[str, str]:
        """A checksum of everything, by service."""
        return {name: self.content(name) for name in NAMES}

    def old_or_new(self, name: str, *, old: str, new: str) -> bool:
        """Whether the service has all of one of two contents; each collection of Qdrant may be on its own way.

        While a collection is away, what it is to hold has to be in the copy beside it.
        """
        if name != "qdrant":
            return self.content(name) in (self.expected(old)[name], self.expected(new)[name])
        there = {item["name"] for item in self.qdrant("GET", "/collections")["collections"]}
        return all(self._collection_is(each, there, old, new) for each in COLLECTIONS)

    def _collection_is(self, name: str, there: set[str], old: str, new: str) -> bool:
        size = 30 + COLLECTIONS.index(name) * 10
        if name in there and any(self._is_filled(name, which, size) for which in (old, new)):
            return True
        copy = f"{name}{RESTORE_SUFFIX}"
        return copy in there and self._is_filled(copy, new, size)

    def _is_filled(self, name: str, which: str, size: int) -> bool:
        wanted = [{"of": which, "number": number} for number in range(size)]
        return [point["payload"] for point in self.points(name)] == wanted

    def content(self, name: str) -> str:
        """A checksum of all that a service holds."""
        held = {"timescaledb": self._rows, "redis": self._values, "qdrant": self._points}[name]()
        return hashlib.md5(json.dumps(held, sort_keys=True).encode()).hexdigest()

    def _rows(self) -> Any:
        tables = self.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'rag' ORDER BY 1")
        rows = {
            name: self.sql(f"SELECT count(*), md5(coalesce(string_agg(t::text, '/' ORDER BY t), '')) FROM rag.{name} t")
            for (name,) in tables
        }
        return {**rows, "indexes": self.sql("SELECT indexdef FROM pg_indexes WHERE schemaname = 'rag' ORDER BY 1")}

    def _values(self) -> Any:
        readers: dict[str, Callable[[Any, str], Any]] = {
            "string": lambda client, key: client.get(key), "hash": lambda client, key: client.hgetall(key),
            "list": lambda client, key: client.lrange(key, 0, -1),
        }  # fmt: skip
        found = {}
        for number in (0, 1):
            with self.redis(number) as client:
                for key in client.scan_iter(count=1000):
                    value = readers[client.type(key)](client, key)
                    found[f"{number} {key}"] = [value, client.ttl(key) > 0]
        return found

    def _points(self) -> Any:
        listed = self.qdrant("GET", "/collections")["collections"]
        names = [item["name"] for item in listed if not is_internal(item["name"])]
        aliases = {item["alias_name"]: item["collection_name"] for item in self.qdrant("GET", "/aliases")["aliases"]}
        return [{name: self.points(name) for name in names}, aliases]

    def points(self, collection: str) -> list[Any]:
        """All points of a collection, with vectors and payload."""
        body = {"limit": 10_000, "with_vector": True, "with_payload": True}
        found = self.qdrant("POST", f"/collections/{collection}/points/scroll", body)["points"]
        return sorted(found, key=lambda point: int(point["id"]))

    # --- command lines -----------------------------------------------------------------

    def __call__(self, *arguments: str, code: int | None = 0, **points: Any) -> Ended:
        """Run a command line to its end, which is to be `code`."""
        self.driver.begin(self.root, arguments, **points)
        done = self.driver.end()
        assert code is None or done.code == code, f"{arguments}: {done.code}\n{done.out}\n{done.err}"
        return done

    def beside(self, *arguments: str, cwd: Path | None = None, **points: Any) -> Ended:
        """Run another command line while one is paused."""
        if not hasattr(self, "second"):
            self.second = Driver(self.folder, "second")
        self.second.begin(cwd or self.root, arguments, **points)
        return self.second.end()

    @contextmanager
    def paused(self, *arguments: str, at: str, nth: int = 1, code: int | None = None) -> Iterator[list[Ended]]:
        """Run a command line up to the `nth` effect that matches `at`; the block is what happens meanwhile.

        Its end is in the list after the block.
        """
        ended: list[Ended] = []
        self.driver.begin(self.root, arguments, pause=at, nth=nth)
        try:
            deadline = time.monotonic() + 180
            while not self.driver.paused():
                assert time.monotonic() < deadline and not self.driver.ended(), f"it never came to {at}"
            yield ended
        finally:
            self.driver.go()
            ended.append(self.driver.end())
            print(*arguments, ended[0].code, ended[0].out, ended[0].err, sep="\n")  # where the test fails
        assert code is None or ended[0].code == code, f"{arguments}: {ended[0].code}\n{ended[0].out}\n{ended[0].err}"

    def killed(self, *arguments: str, point: int, of: int, span: tuple[int, int]) -> str:
        """Kill a command line at the `point`th of `of` points, spread evenly over a span of effects; returns which."""
        first, last = span
        number = max(1, first + round((last - first) * (point - 0.5) / of))
        while (done := self(*arguments, code=None, kill=number)).code != -signal.SIGKILL:
            assert number > 1 and done.code == 0, f"{done.code} before effect {number}: {done.err}"
            number -= 3  # this run had fewer
        return f"effect {number} of {first} to {last}: {done.trace[-1]}"

    # --- recovery points -----------------------------------------------------------------

    @property
    def repositories(self) -> tuple[Path, Path]:
        """The folders of the usual configuration."""
        return self.root / "backups", self.folder / "copies"

    def take(self) -> str:
        """A recovery point; its id."""
        return str(self("backup", "run", "--json").json()["id"])

    def listed(self) -> list[dict[str, Any]]:
        """What `backup list` shows; nothing of it may be unreadable."""
        found = self("backup", "list", "--json").json()
        assert not found["unreadable"], found["unreadable"]
        return list(found["points"])

    def renew(self, **backup: Any) -> None:
        """The usual configuration, no recovery points, and no memory of what a test before had, which is not missed."""
        self.configure(**backup)
        self.empty_repositories()
        self.paths.restore_journal.unlink(missing_ok=True)
        self.paths.history.unlink(missing_ok=True)

    def empty_repositories(self, keep: str = "") -> None:
        """Remove all recovery points but one."""
        for repository in self.repositories:
            for folder in (repository / "default").glob("*"):
                if folder.name != keep:
                    shutil.rmtree(folder)

    def leftovers(self) -> list[str]:
        """What no run that came to its end leaves anywhere: an empty list after one."""
        found = []
        for repository in self.repositories:
            found += [path for path in repository.rglob("*") if path.name.startswith(".partial-")]
            found += [path for path in repository.rglob("*") if path.is_dir() and not any(path.iterdir())]
            found += [path for path in (repository / "default").glob("*-*") if not (path / "manifest.json").exists()]
            found += list((repository / "default" / "locks").glob("*"))
        staging = self.paths.staging
        found += [path for path in staging.glob("*") if path.name != "journal"]
        found += list((self.folder / "tmp").glob("*"))
        found += list(self.paths.locks.glob("*.holder.json"))
        names = [str(path.relative_to(self.folder)) for path in found]
        return names + self._server_snapshots() + self._tools()

    def _server_snapshots(self) -> list[str]:
        names = [item["name"] for item in self.qdrant("GET", "/collections")["collections"]]
        paths = [f"/collections/{name}/shards/0/snapshots" for name in names]
        return [f"{path}: {item['name']}" for path in paths for item in self.qdrant("GET", path)]

    def _tools(self) -> list[str]:
        """Tools and scratch servers that outlived the run that they worked for."""
        return [f"pid {process.pid} {process.name()}" for process in self.tools()]

    def tools(self) -> list[psutil.Process]:
        """What works for a run: tools, and the scratch server, which has another title than its command line."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.name() in _TOOLS and process.status() != psutil.STATUS_ZOMBIE:
                    words = " ".join([*process.cmdline(), process.cwd()])
                    found += [process] if str(self.folder / "tmp") in words or str(self.paths.staging) in words else []
        return found
