"""The development engine under faults, and what ragops does with it: probe, backup, restore."""

from __future__ import annotations

import http.client
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httpx
import pytest
from pydantic import SecretStr

from ragops.adapters.qdrant.http import HttpClient
from ragops.devserver.qdrant import archive, configuration, creation, snapshots
from ragops.devserver.qdrant.collection import Collection
from ragops.errors import IntegrityError, MissingError, RagopsError
from ragops.services.contract import Capability, Endpoint, Login, Part, ProbeResult, Status
from ragops.services.qdrant.backup import snapshot_reader
from ragops.services.qdrant.backup.backup import QdrantBackup
from ragops.services.qdrant.component import service_spec
from ragops.services.qdrant.names import ENGINE, HEALTH_COLLECTION, RESTORE_SUFFIX, VERSION
from ragops.services.qdrant.service import QdrantService
from ragops.services.qdrant.settings import QdrantSettings
from tests import backup_helpers
from tests.ports import free_port
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ragops.services.spec import Layout

KEY = "integration-key"
SIZE = 8

# A server of its own for most of them: `make test` draws a third.
pytestmark = [pytest.mark.servers, pytest.mark.campaign(of="the development server", sample=20)]


class Server:
    """The engine as a process of ours; also the `Control` that operations are given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "api_key").write_text(KEY + "\n")
        config = {"host": "127.0.0.1", "port": self.port, "storage": str(self.data)}
        (folder / "edge.json").write_text(json.dumps({**config, "api_key_file": str(folder / "api_key")}))

    @property
    def local_data(self) -> Path:
        return self.data

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "ragops.devserver.qdrant", str(self.folder / "edge.json")]

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self, extra_args: Sequence[str] = ()) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*self.command, *extra_args], stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while True:
            try:
                httpx.get(f"{self.url}/healthz", trust_env=False).raise_for_status()
            except httpx.HTTPError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RagopsError("not_started", self.log) from error
                time.sleep(0.05)
            else:
                return

    def stop(self, number: int = signal.SIGTERM) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(30)

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def move_data_aside(self, label: str) -> str:
        aside = self.data.with_name(f"data.{label}")
        self.data.rename(aside)
        return str(aside)

    def rollback_data(self, aside: str) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        Path(aside).rename(self.data)

    def swap_data(self, files: Mapping[str, Path], label: str) -> str:
        raise NotImplementedError

    def get_data_file(self, name: str, target: Path) -> None:
        raise NotImplementedError

    def free_bytes(self) -> int | None:
        return shutil.disk_usage(self.folder).free

    def tool(self, name: str) -> tuple[str, ...]:
        raise NotImplementedError

    @property
    def endpoint(self) -> Endpoint:
        login = Login("", "qdrant_api_key", SecretStr(KEY))
        return Endpoint(
            service="qdrant",
            engine=ENGINE,
            version=VERSION,
            runtime="embedded",
            host="127.0.0.1",
            port=self.port,
            options={"storage": str(self.data)},
            logins={"operator": login, "application": login},
            capabilities=frozenset({Capability.RESTART, Capability.READ_FILES}),
        )


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(Path(tempfile.mkdtemp(prefix="ragops-test-")))
    made.start()
    yield made
    made.kill()
    shutil.rmtree(made.folder)


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"api-key": KEY}, timeout=60, trust_env=False) as client:
        yield client


def ok(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return response.json()["result"]


def make(api: httpx.Client, name: str, points: int = 0) -> None:
    ok(api.put(f"/collections/{name}", json={"vectors": {"size": SIZE, "distance": "Cosine"}}))
    if points:
        put(api, name, range(points))


def put(api: httpx.Client, name: str, ids: Sequence[int]) -> None:
    rows = [{"id": one, "vector": [1.0 + one, *[1.0] * (SIZE - 1)], "payload": {"n": one}} for one in ids]
    ok(api.put(f"/collections/{name}/points", params={"wait": "true"}, json={"points": rows}))


def count(api: httpx.Client, name: str) -> int:
    found: int = ok(api.post(f"/collections/{name}/points/count", json={}))["count"]
    return found


def names(api: httpx.Client) -> list[str]:
    return [item["name"] for item in ok(api.get("/collections"))["collections"]]


def alias(api: httpx.Client, name: str, collection: str) -> None:
    action = {"create_alias": {"alias_name": name, "collection_name": collection}}
    ok(api.post("/collections/aliases", json={"actions": [action]}))


# --- crashes ----------------------------------------------------------------------------------------------------------


@pytest.mark.fault
def test_kill_under_write_load_loses_no_acknowledged_write(server: Server, api: httpx.Client) -> None:
    make(api, "load")
    acknowledged: list[set[int]] = [set() for _ in range(3)]
    asked: set[int] = set()  # to be deleted; whether it happened is known only of those that were answered
    deleted: set[int] = set()

    def write(worker: int) -> None:
        with httpx.Client(base_url=server.url, headers={"api-key": KEY}, trust_env=False) as client:
            start = worker * 10**6
            try:
                while True:
                    batch = range(start, start + 5)
                    put(client, "load", batch)
                    acknowledged[worker].update(batch)
                    if worker == 0:
                        asked.add(start)
                        body = {"points": [start]}
                        ok(client.post("/collections/load/points/delete", params={"wait": "true"}, json=body))
                        deleted.add(start)
                    start += 5
            except httpx.TransportError:
                return

    for _ in range(2):
        threads = [threading.Thread(target=write, args=(worker,)) for worker in range(3)]
        for thread in threads:
            thread.start()
        enough = sum(map(len, acknowledged)) + 300
        while sum(map(len, acknowledged)) < enough:
            time.sleep(0.01)
        server.kill()
        for thread in threads:
            thread.join()
        server.start()
        wanted = set().union(*acknowledged) - asked
        found = {point["id"] for point in ok(api.post("/collections/load/points", json={"ids": sorted(wanted)}))}
        assert found == wanted
        back = ok(api.post("/collections/load/points", json={"ids": sorted(deleted)}))
        assert not back


@pytest.mark.fault
def test_catalogue_survives_a_kill(server: Server, api: httpx.Client) -> None:
    make(api, "kept", 3)
    make(api, "gone", 3)
    alias(api, "a", "kept")
    alias(api, "b", "gone")
    ok(api.put("/collections/kept/index", json={"field_name": "n", "field_schema": "integer"}))
    ok(api.delete("/collections/gone"))
    server.kill()
    server.start()
    assert names(api) == ["kept"]
    assert ok(api.get("/aliases"))["aliases"] == [{"alias_name": "a", "collection_name": "kept"}]
    assert ok(api.get("/collections/kept"))["payload_schema"] == {"n": {"data_type": "integer", "points": 3}}
    assert count(api, "a") == 3


@pytest.mark.fault
@pytest.mark.parametrize("stage", ["creating", "deleting", "swapping", "swapped", "snapshotting", "uploading"])
def test_what_a_crash_leaves_is_put_right(server: Server, api: httpx.Client, stage: str) -> None:
    make(api, "docs", 4)
    server.kill()
    home = server.data / "collections"
    (folder,) = home.iterdir()
    match stage:
        case "creating":
            shutil.copytree(folder, home / ".new-0123")
        case "deleting":
            shutil.copytree(folder, home / ".deleted-0123")
        case "swapping":
            shutil.copytree(folder / "shard", folder / "shard.new")
            (folder / "shard").rename(folder / "shard.old")
        case "swapped":
            shutil.copytree(folder / "shard", folder / "shard.old")
        case "snapshotting":
            (folder / "snapshots" / ".120000").write_bytes(b"half")
        case "uploading":
            (server.data / "incoming" / "0123").write_bytes(b"half")
    server.start()
    assert names(api) == ["docs"]
    assert count(api, "docs") == 4
    assert [path.name for path in home.iterdir()] == [folder.name]
    assert sorted(path.name for path in folder.iterdir()) == ["collection.json", "shard", "snapshots"]
    assert not list((folder / "snapshots").iterdir())
    assert not list((server.data / "incoming").iterdir())


@pytest.mark.fault
def test_a_damaged_collection_does_not_keep_the_others_from_serving(server: Server, api: httpx.Client) -> None:
    make(api, "well", 2)
    make(api, "ill", 2)
    server.kill()
    for folder in (server.data / "collections").iterdir():
        if json.loads((folder / "collection.json").read_text())["name"] == "ill":
            shutil.rmtree(folder / "shard")
    server.start()
    assert count(api, "well") == 2
    response = api.post("/collections/ill/points/count", json={})
    assert response.status_code == 500
    assert "could not be opened" in response.json()["status"]["error"]
    assert api.get("/readyz").status_code == 503
    assert "collections_unreadable 1" in api.get("/metrics").text
    probed = QdrantService().probe(server.endpoint, 5)
    assert probed.status is Status.DEGRADED
    assert ok(api.delete("/collections/ill")) is True
    assert api.get("/readyz").status_code == 200


@pytest.mark.fault
def test_a_folder_that_does_not_say_what_it_holds(server: Server, api: httpx.Client) -> None:
    make(api, "well", 2)
    server.kill()
    stray = server.data / "collections" / "stray"
    stray.mkdir()
    (stray / "shard").write_text("something of somebody")
    server.start()
    assert count(api, "well") == 2
    assert api.get("/readyz").status_code == 503
    assert "stray" in server.log
    assert (stray / "shard").read_text() == "something of somebody"


def test_everything_at_once_on_one_name(server: Server, api: httpx.Client) -> None:
    """Creations, deletions, snapshots, uploads, reads and writes that cross one another."""
    make(api, "seed", 20)
    content = snapshot(api, "seed")
    seen: list[tuple[str, int]] = []

    def work(seed: int) -> None:
        chosen = random.Random(seed)
        with httpx.Client(base_url=server.url, headers={"api-key": KEY}, timeout=60, trust_env=False) as client:
            for _ in range(40):
                kind = chosen.choice(("PUT", "DELETE", "snapshot", "upload", "upload", "count", "put"))
                match kind:
                    case "PUT":
                        body = {"vectors": {"size": SIZE, "distance": "Cosine"}}
                        response = client.put("/collections/docs", json=body)
                    case "DELETE":
                        response = client.delete("/collections/docs")
                    case "snapshot":
                        response = client.post("/collections/docs/shards/0/snapshots")
                    case "upload":
                        response = upload(client, "docs", content)
                    case "count":
                        response = client.post("/collections/docs/points/count", json={})
                    case _:
                        rows = {"points": [{"id": 1, "vector": [1.0] * SIZE}]}
                        response = client.put("/collections/docs/points", json=rows)
                seen.append((kind, response.status_code))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for _, status in seen} <= {200, 404, 409}
    assert ("upload", 200) in seen
    assert leftovers(server) == []
    server.kill()
    server.start()
    assert api.get("/readyz").status_code == 200
    assert count(api, "seed") == 20


def test_snapshot_between_the_halves_of_an_upload(tmp_path: Path) -> None:
    settings = creation.parse("docs", {"vectors": {"size": 2, "distance": "Dot"}})
    collection = Collection(tmp_path / "docs", settings)
    collection.create()
    collection.open()
    collection.upsert({"points": [{"id": 1, "vector": [1.0, 2.0]}]})
    made = snapshots.create(collection)
    collection.delete_points({"points": [1]})
    assert snapshots.accept(collection, snapshots.find(collection, made["name"]), made["checksum"], 1 << 40) == 1
    snapshots.create(collection)
    assert collection.count({}) == 0
    collection.swap()
    assert collection.count({}) == 1
    collection.close()


def test_a_payload_that_the_log_could_not_read_back_is_refused(server: Server, api: httpx.Client) -> None:
    """Edge 0.9.0 takes it, and after a crash the whole shard is unreadable."""
    make(api, "docs", 1)
    nested: Any = 1
    for _ in range(200):
        nested = {"a": nested}
    point = {"id": 5, "vector": [1.0] * SIZE, "payload": nested}
    response = api.put("/collections/docs/points", json={"points": [point]})
    assert response.status_code == 400
    allowed: Any = 1
    for _ in range(64):
        allowed = {"a": allowed}
    ok(api.put("/collections/docs/points", json={"points": [{**point, "payload": allowed}]}))
    server.kill()
    server.start()
    assert count(api, "docs") == 2


def test_stop_flushes_and_says_so(server: Server, api: httpx.Client) -> None:
    make(api, "docs", 3)
    server.stop()
    assert "Application shutdown complete." in server.log
    server.start()
    assert count(api, "docs") == 3


def test_log_is_json_lines_without_the_key(server: Server, api: httpx.Client) -> None:
    api.get("/collections", headers={"x-request-id": "abc-1"})
    httpx.get(f"{server.url}/collections?api-key={KEY}", trust_env=False)
    lines = [json.loads(line) for line in server.log.splitlines()]
    assert any(line.get("request_id") == "abc-1" and line["status"] == 200 for line in lines)
    assert KEY not in server.log


# --- one opener -------------------------------------------------------------------------------------------------------


def test_second_opener_is_told_who_has_it(server: Server) -> None:
    second = subprocess.run(server.command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 5
    said = json.loads(second.stderr.splitlines()[-1])
    assert said["code"] == "storage_locked"
    assert server.process is not None
    assert f"pid {server.process.pid}" in said["message"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"port": "many"}, "config_invalid"),
        ({"surplus": 1}, "config_invalid"),
        ({"api_key_file": "/nowhere/key"}, "api_key_missing"),
    ],
)
def test_bad_configuration(tmp_path: Path, change: dict[str, Any], code: str) -> None:
    (tmp_path / "key").write_text(KEY)
    config = {"port": 1024, "storage": str(tmp_path / "data"), "api_key_file": str(tmp_path / "key"), **change}
    (tmp_path / "edge.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "ragops.devserver.qdrant", str(tmp_path / "edge.json")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode in (2, 7)
    assert json.loads(ended.stderr.splitlines()[-1])["code"] == code


# --- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/telemetry", None),
        ("GET", "/cluster", None),
        ("POST", "/snapshots", None),
        ("PATCH", "/collections/docs", {}),
        ("POST", "/collections/docs/snapshots", None),
        ("POST", "/collections/docs/points/search", {"vector": [1.0] * SIZE, "limit": 1}),
        ("POST", "/collections/docs/points/recommend", {}),
        ("POST", "/collections/docs/facet", {}),
        ("PUT", "/collections/new", {"vectors": {"a": {"size": 4, "distance": "Dot"}}}),
        ("PUT", "/collections/new", {"vectors": {"size": 4, "distance": "Dot"}, "shard_number": 2}),
        ("PUT", "/collections/new", {"vectors": {"size": 4, "distance": "Dot"}, "sparse_vectors": {"": {}}}),
        ("POST", "/collections/docs/points/query", {"query": {"recommend": {"positive": [1]}}}),
        ("POST", "/collections/docs/points/query", {"prefetch": {"query": [1.0] * SIZE}, "query": {"fusion": "dbsf"}}),
        ("POST", "/collections/docs/points/scroll", {"order_by": "n"}),
    ],
)
def test_what_is_not_served_says_so(api: httpx.Client, method: str, path: str, body: object) -> None:
    make(api, "docs", 1)
    response = api.request(method, path, json=body)
    assert response.status_code == 501
    assert "development engine of ragops (Qdrant Edge" in response.json()["status"]["error"]
    assert "new" not in names(api)


def test_nobodys_path(api: httpx.Client) -> None:
    assert api.get("/nothing").status_code == 404


def test_big_body_is_refused(api: httpx.Client) -> None:
    make(api, "docs")
    response = api.put("/collections/docs/points", content=b'{"points": ["' + b"x" * (33 << 20) + b'"]}')
    assert response.status_code == 413
    assert "larger than allowed" in response.json()["status"]["error"]
    assert count(api, "docs") == 0


def test_numbers_that_would_become_nan_are_refused(api: httpx.Client) -> None:
    make(api, "docs")
    for text in ("1e39", "1e999", "NaN", "-Infinity", '"1"'):
        row = f'{{"points": [{{"id": 1, "vector": [{text}, 1, 1, 1, 1, 1, 1, 1]}}]}}'
        assert api.put("/collections/docs/points", content=row).status_code == 400
    assert count(api, "docs") == 0


def test_requests_at_once_are_all_answered(server: Server, api: httpx.Client) -> None:
    make(api, "docs", 50)
    statuses: list[int] = []

    def work() -> None:
        with httpx.Client(base_url=server.url, headers={"api-key": KEY}, timeout=60, trust_env=False) as client:
            for number in range(5):
                statuses.append(client.post("/collections/docs/points/scroll", json={"limit": 50}).status_code)
                put(client, "docs", [1000 + number])
                statuses.append(client.post("/collections/docs/shards/0/snapshots").status_code)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 60
    assert count(api, "docs") == 55


# --- snapshots --------------------------------------------------------------------------------------------------------


def snapshot(api: httpx.Client, name: str) -> bytes:
    path = f"/collections/{name}/shards/0/snapshots"
    made = ok(api.post(path))
    content = api.get(f"{path}/{made['name']}").content
    ok(api.delete(f"{path}/{made['name']}"))
    return content


def upload(api: httpx.Client, name: str, content: bytes) -> httpx.Response:
    files = {"snapshot": ("s.snapshot", content)}
    query = {"priority": "snapshot", "wait": "true"}
    return api.post(f"/collections/{name}/shards/0/snapshots/upload", params=query, files=files)


def leftovers(server: Server) -> list[str]:
    unwanted = [*(server.data / "incoming").iterdir(), *server.data.glob("collections/.*")]
    return [str(path) for path in (*unwanted, *server.data.glob("collections/*/shard.*"))]


def test_snapshot_is_small_and_every_reader_agrees(api: httpx.Client, tmp_path: Path) -> None:
    make(api, "docs", 200)
    path = tmp_path / "s.tar"
    path.write_bytes(snapshot(api, "docs"))
    assert path.stat().st_size < 4 << 20  # 138 MB with its holes written out
    for command in (["tar", "--extract", "--file", str(path), "--directory"], None):
        target = tmp_path / ("gnu" if command else "python")
        target.mkdir()
        if command:
            subprocess.run([*command, str(target)], check=True)
        else:
            with tarfile.open(path) as tar:
                tar.extractall(target, filter="data")
    files = {file.relative_to(tmp_path / "gnu") for file in (tmp_path / "gnu").rglob("*") if file.is_file()}
    assert files == {
        file.relative_to(tmp_path / "python") for file in (tmp_path / "python").rglob("*") if file.is_file()
    }
    assert all((tmp_path / "gnu" / file).read_bytes() == (tmp_path / "python" / file).read_bytes() for file in files)


def test_archive_of_a_file_with_many_holes(tmp_path: Path) -> None:
    """More extents than one header and one extension take."""
    folder = tmp_path / "in"
    long = folder / ("d" * 90) / ("e" * 90)
    long.mkdir(parents=True)
    with (long / "f").open("wb") as stream:
        for number in range(60):
            stream.seek(number * 65536)
            stream.write(bytes([number + 1]) * 100)
        stream.truncate(60 * 65536 + 4096 * 5)
    (folder / "empty").touch()
    with (folder / "hole").open("wb") as stream:
        stream.truncate(1 << 30)
    archive.write(folder, tmp_path / "a.tar")
    assert (tmp_path / "a.tar").stat().st_size < 1 << 20
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "xf", str(tmp_path / "a.tar"), "-C", str(tmp_path / "out")], check=True)
    relative = (long / "f").relative_to(folder)
    assert (tmp_path / "out" / relative).read_bytes() == (long / "f").read_bytes()
    assert (tmp_path / "out" / "hole").stat().st_size == 1 << 30
    assert (tmp_path / "out" / "empty").stat().st_size == 0


@pytest.mark.parametrize("kind", ["nonsense", "truncated", "other-size", "escaping", "link", "empty"])
def test_upload_that_is_no_snapshot_changes_nothing(
    server: Server, api: httpx.Client, tmp_path: Path, kind: str
) -> None:
    make(api, "docs", 7)
    content = snapshot(api, "docs")
    match kind:
        case "nonsense":
            content = b"nonsense " * 1000
        case "truncated":
            content = content[: len(content) // 2]
        case "other-size":
            ok(api.put("/collections/other", json={"vectors": {"size": 3, "distance": "Cosine"}}))
            content = snapshot(api, "other")
        case "escaping" | "link":
            info = tarfile.TarInfo("../../evil" if kind == "escaping" else "shard")
            info.type, info.linkname = (tarfile.REGTYPE, "") if kind == "escaping" else (tarfile.SYMTYPE, "/etc")
            with tarfile.open(tmp_path / "t", "w") as tar:
                tar.addfile(info)
            content = (tmp_path / "t").read_bytes()
        case "empty":
            content = b""
    response = upload(api, "docs", content)
    assert response.status_code == 400
    assert response.json()["status"]["error"]
    assert count(api, "docs") == 7
    put(api, "docs", [100])
    assert count(api, "docs") == 8
    assert leftovers(server) == []
    assert not (server.data / "collections" / "evil").exists()


@pytest.mark.fault
def test_interrupted_upload_changes_nothing(server: Server, api: httpx.Client) -> None:
    make(api, "docs", 7)
    content = snapshot(api, "docs")
    start = b'--b\r\nContent-Disposition: form-data; name="snapshot"; filename="s"\r\n\r\n'
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.putrequest("POST", "/collections/docs/shards/0/snapshots/upload?priority=snapshot")
    connection.putheader("api-key", KEY)
    connection.putheader("content-type", "multipart/form-data; boundary=b")
    connection.putheader("content-length", str(len(start) + len(content) + 9))
    connection.endheaders(start + content[: len(content) // 2])
    wait_until(lambda: any((server.data / "incoming").iterdir()))
    connection.close()
    wait_until(lambda: leftovers(server) == [])
    assert count(api, "docs") == 7


def test_form_without_its_end_is_no_upload(api: httpx.Client) -> None:
    make(api, "docs", 2)
    headers = {"content-type": "multipart/form-data; boundary=b"}
    for body in (b"", b'--b\r\nContent-Disposition: form-data; name="snapshot"\r\n\r\nabc', b"no form at all"):
        path = "/collections/docs/shards/0/snapshots/upload?priority=snapshot"
        assert api.post(path, content=body, headers=headers).status_code == 400
    assert count(api, "docs") == 2


def test_snapshot_name_leads_nowhere_else(server: Server, api: httpx.Client) -> None:
    make(api, "docs", 2)
    for name in ("..%2f..%2fcollection.json", ".hidden.snapshot", "collection.json", "%2e%2e"):
        response = api.get(f"/collections/docs/shards/0/snapshots/{name}")
        assert response.status_code in (404, 501)
        assert b'"format"' not in response.content


def test_a_snapshot_has_the_name_that_ragops_gives_it_and_no_other_path(server: Server, api: httpx.Client) -> None:
    make(api, "docs", 2)
    snapshots = "/collections/docs/shards/0/snapshots"
    assert ok(api.post(snapshots, params={"wait": "true", "name": "a-1.snapshot"}))["name"] == "a-1.snapshot"
    for name in ("a-1.snapshot", "../a.snapshot", ".a.snapshot", "a", "a.checksum"):
        assert api.post(snapshots, params={"wait": "true", "name": name}).status_code == 400
    assert [item["name"] for item in ok(api.get(snapshots))] == ["a-1.snapshot"]


# --- what ragops does with it -----------------------------------------------------------------------------------------


def dump(server: Server, folder: Path) -> tuple[Part, ...]:
    return backup_helpers.dump(QdrantBackup(), server.endpoint, server, folder)


def populate(api: httpx.Client) -> None:
    make(api, "docs", 30)
    make(api, "näme with space", 3)
    make(api, "empty")
    alias(api, "current", "docs")
    ok(api.put("/collections/docs/index", json={"field_name": "n", "field_schema": {"type": "integer", "range": True}}))


STATE = {"collections": 3, "aliases": 1, "docs.points": 30, "näme with space.points": 3, "empty.points": 0}


def test_probe(server: Server, api: httpx.Client) -> None:
    make(api, "docs", 1)
    QdrantService().prepare(server.endpoint)
    QdrantService().prepare(server.endpoint)
    for _ in range(2):
        probed = QdrantService().probe(server.endpoint, 5)
        assert {check.name: check.status for check in probed.checks} == dict.fromkeys(
            ("reachable", "key", "write", "shards", "disk"), Status.OK
        )
    assert count(api, HEALTH_COLLECTION) == 0
    ok(api.delete(f"/collections/{HEALTH_COLLECTION}"))
    assert QdrantService().probe(server.endpoint, 5).status is Status.OK


def test_probe_of_what_is_not_there_or_refuses(server: Server) -> None:
    wrong = Login("", "qdrant_api_key", SecretStr("wrong"))
    endpoint = Endpoint(**{**vars(server.endpoint), "logins": {"operator": wrong, "application": wrong}})
    refused = QdrantService().probe(endpoint, 5)
    assert refused.status is Status.DOWN
    assert "refuses the key" in refused.checks[-1].detail
    server.stop()
    down = QdrantService().probe(server.endpoint, 5)
    assert [(check.name, check.status) for check in down.checks] == [("reachable", Status.DOWN)]


def test_backup_and_restore(server: Server, api: httpx.Client, tmp_path: Path) -> None:
    populate(api)
    QdrantService().prepare(server.endpoint)
    parts = dump(server, tmp_path / "point")
    assert {kind: number for part in parts for kind, number in part.counts.items()} == STATE
    assert {path.name for path in (tmp_path / "point").iterdir()} == {part.name for part in parts}
    assert ok(api.get("/collections/docs/shards/0/snapshots")) == []
    engine = QdrantBackup()
    for part in parts:
        engine.verify(tmp_path / "point", part, server)
    ok(api.delete("/collections/empty"))
    ok(api.post("/collections/docs/points/delete", json={"points": list(range(20))}))
    make(api, "later", 4)
    alias(api, "stale", "later")
    engine.preflight(server.endpoint, server, tmp_path / "point", parts)
    (note,) = engine.restore(server.endpoint, server, tmp_path / "point", parts)
    assert note.endswith("later")
    assert engine.counts(server.endpoint) == STATE
    assert sorted(names(api)) == ["docs", "empty", "näme with space", HEALTH_COLLECTION]
    assert count(api, "current") == 30
    shown = ok(api.get("/collections/docs"))
    assert shown["payload_schema"]["n"]["params"] == {"type": "integer", "range": True}
    assert engine.restore(server.endpoint, server, tmp_path / "point", parts) == ()
    assert engine.counts(server.endpoint) == STATE
    assert leftovers(server) == []


def test_restore_starts_a_server_that_is_down(server: Server, api: httpx.Client, tmp_path: Path) -> None:
    populate(api)
    parts = dump(server, tmp_path / "point")
    server.stop()
    assert QdrantBackup().restore(server.endpoint, server, tmp_path / "point", parts) == ()
    assert QdrantBackup().counts(server.endpoint) == STATE


def test_restore_over_data_that_cannot_be_opened(server: Server, api: httpx.Client, tmp_path: Path) -> None:
    populate(api)
    parts = dump(server, tmp_path / "point")
    server.kill()
    (server.data / "engine.json").write_text("damaged")
    (note,) = QdrantBackup().restore(server.endpoint, server, tmp_path / "point", parts)
    assert "data.before-restore" in note
    assert QdrantBackup().counts(server.endpoint) == STATE


def test_failed_restore_leaves_the_old_collections_serving(server: Server, api: httpx.Client, tmp_path: Path) -> None:
    populate(api)
    parts = dump(server, tmp_path / "point")
    put(api, "docs", [500])
    snapshot = next(part for part in parts if part.counts == {"docs.points": 30})
    damaged = tmp_path / "point" / snapshot.name
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    engine = QdrantBackup()
    with pytest.raises(IntegrityError):
        engine.verify(tmp_path / "point", snapshot, server)
    with pytest.raises(RagopsError):
        engine.restore(server.endpoint, server, tmp_path / "point", parts)
    assert engine.counts(server.endpoint) == {**STATE, "docs.points": 31}
    assert not [name for name in names(api) if name.endswith(RESTORE_SUFFIX)]


@pytest.mark.fault
def test_restore_completes_what_a_killed_one_began(server: Server, api: httpx.Client, tmp_path: Path) -> None:
    populate(api)
    parts = dump(server, tmp_path / "point")
    make(api, f"docs{RESTORE_SUFFIX}", 5)
    ok(api.delete("/collections/docs"))
    assert QdrantBackup().restore(server.endpoint, server, tmp_path / "point", parts) == ()
    assert QdrantBackup().counts(server.endpoint) == STATE
    assert not [name for name in names(api) if name.endswith(RESTORE_SUFFIX)]


def failing_upload(monkeypatch: pytest.MonkeyPatch, *collections: str, error: RagopsError | None = None) -> list[str]:
    """Snapshots that are sent to one of `collections` are refused; the paths of those that are not."""
    sent: list[str] = []
    real = HttpClient.upload

    def upload(self: HttpClient, path: str, source: Path, checksum: str) -> None:
        name = unquote(path.split("/")[2])
        if name in collections:
            raise error or RagopsError("qdrant_error", "qdrant answers 500: told to fail", "see the log")
        sent.append(name)
        real(self, path, source, checksum)

    monkeypatch.setattr(HttpClient, "upload", upload)
    return sent


def text(result: ProbeResult, name: str) -> list[str]:
    return [f"{check.status}: {check.detail}; {check.hint}" for check in result.checks if check.name == name]


def test_a_collection_that_cannot_be_made_again_is_answered_for_by_its_copy(
    server: Server, api: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others come back; the next run goes on from the copy, and a recovery point has it meanwhile."""
    populate(api)
    QdrantService().prepare(server.endpoint)
    parts = dump(server, tmp_path / "point")
    put(api, "docs", [500])
    engine, copy = QdrantBackup(), f"docs{RESTORE_SUFFIX}"
    with monkeypatch.context() as patch:
        failing_upload(patch, "docs")
        with pytest.raises(RagopsError) as failed:
            engine.restore(server.endpoint, server, tmp_path / "point", parts)
    assert failed.value.message.startswith("1 of 3 collections are not back: docs: ")
    assert f"the proven copy {copy} answers for it" in failed.value.message
    assert "`ragops restore` again" in failed.value.hint
    assert engine.counts(server.endpoint) == STATE
    assert [count(api, name) for name in ("docs", "current", copy)] == [30] * 3
    (told,) = text(QdrantService().probe(server.endpoint, 5), "restore")
    assert told.startswith(f"degraded: docs is answered for by its copy {copy}")
    again = dump(server, tmp_path / "again")
    assert [part.counts for part in again] == [part.counts for part in parts]
    with monkeypatch.context() as patch:
        sent = failing_upload(patch)
        assert engine.restore(server.endpoint, server, tmp_path / "point", parts) == ()
    assert (sent.count("docs"), sent.count(copy)) == (1, 0), "the copy was proven already"
    assert engine.counts(server.endpoint) == STATE
    assert sorted(names(api)) == ["docs", "empty", "näme with space", HEALTH_COLLECTION]
    assert text(QdrantService().probe(server.endpoint, 5), "restore") == []
    assert ok(api.get("/aliases"))["aliases"] == [{"alias_name": "current", "collection_name": "docs"}]


def test_another_recovery_point_leaves_the_last_copy_until_it_has_proven_its_own(
    server: Server, api: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    populate(api)
    first = dump(server, tmp_path / "first")
    put(api, "docs", [500])
    second = dump(server, tmp_path / "second")
    engine = QdrantBackup()
    for folder, parts, refused, points in (
        ("first", first, ["docs"], 30),
        ("second", second, ["docs", f"docs__2{RESTORE_SUFFIX}"], 30),
        ("second", second, ["docs"], 31),
    ):
        with monkeypatch.context() as patch:
            failing_upload(patch, *refused)
            with pytest.raises(RagopsError):
                engine.restore(server.endpoint, server, tmp_path / folder, parts)
        assert count(api, "docs") == points
    assert engine.restore(server.endpoint, server, tmp_path / "second", second) == ()
    assert engine.counts(server.endpoint) == {**STATE, "docs.points": 31}
    assert not [name for name in names(api) if name.endswith(RESTORE_SUFFIX)]


def test_one_collection_that_cannot_be_proven_keeps_no_other_from_coming_back(
    server: Server, api: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    populate(api)
    parts = dump(server, tmp_path / "point")
    put(api, "docs", [500])
    put(api, "näme with space", [500])
    make(api, "later", 4)
    failing_upload(monkeypatch, f"docs{RESTORE_SUFFIX}")
    with pytest.raises(RagopsError, match="1 of 3 collections are not back: docs") as failed:
        QdrantBackup().restore(server.endpoint, server, tmp_path / "point", parts)
    assert "told to fail" in failed.value.message
    assert QdrantBackup().counts(server.endpoint) == {**STATE, "docs.points": 31, "collections": 4, "later.points": 4}
    assert not [name for name in names(api) if name.endswith(RESTORE_SUFFIX)]


def test_writers_at_work_do_not_keep_a_collection_from_coming_back(
    server: Server, api: httpx.Client, tmp_path: Path
) -> None:
    """What they add is told; a collection of theirs under the name gives way."""
    populate(api)
    parts = dump(server, tmp_path / "point")
    over = threading.Event()

    def write() -> None:
        with httpx.Client(base_url=str(api.base_url), headers=api.headers, trust_env=False, timeout=30) as own:
            for number in range(1000, 100_000):
                if over.is_set():
                    return
                body = {"points": [{"id": number, "vector": [1.0] * SIZE}]}
                if own.put("/collections/docs/points", params={"wait": "true"}, json=body).status_code == 404:
                    own.put("/collections/docs", json={"vectors": {"size": SIZE, "distance": "Dot"}})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        notes = QdrantBackup().restore(server.endpoint, server, tmp_path / "point", parts)
    finally:
        over.set()
        writer.join(30)
    held = {point["id"] for point in ok(api.post("/collections/docs/points/scroll", json={"limit": 9999}))["points"]}
    assert held >= set(range(30))
    assert all("more than the recovery point" in note for note in notes)
    assert ok(api.get("/collections/docs"))["payload_schema"]


def test_alias_and_collection_that_changed_places(server: Server, api: httpx.Client, tmp_path: Path) -> None:
    populate(api)
    parts = dump(server, tmp_path / "point")
    ok(api.delete("/collections/docs"))
    make(api, "current", 1)
    alias(api, "docs", "empty")
    QdrantBackup().restore(server.endpoint, server, tmp_path / "point", parts)
    assert QdrantBackup().counts(server.endpoint) == STATE
    assert count(api, "current") == 30


def test_failed_dump_leaves_nothing_on_the_server(
    server: Server, api: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_snapshot: Path) -> int:
        raise IntegrityError("part_damaged", "told to fail")

    populate(api)
    monkeypatch.setattr(snapshot_reader, "count_points", fail)
    with pytest.raises(IntegrityError, match="told to fail"):
        dump(server, tmp_path / "point")
    for name in ("docs", "empty", "näme with space"):
        assert ok(api.get(f"/collections/{name}/shards/0/snapshots")) == []


KILLED_DUMP = """
    import os, pickle, signal, sys
    from types import SimpleNamespace
    from ragops.services.qdrant.backup import snapshot_reader
    from ragops.services.qdrant.backup.backup import QdrantBackup
    from tests.backup_helpers import KeepingWriter
    endpoint, storage, folder, journal = pickle.load(open(sys.argv[1], "rb"))
    snapshot_reader.count_points = lambda *_arguments: os.kill(os.getpid(), signal.SIGKILL)
    QdrantBackup().dump(endpoint, SimpleNamespace(local_data=storage), KeepingWriter(folder, journal))
"""


def engine_that_ends_by(name: str, folder: Path) -> str:
    engine = folder / "engine"
    engine.write_text(f"#!/bin/sh\nkill -{name} $$\n")
    engine.chmod(0o755)
    return str(engine)


def test_a_snapshot_that_ends_the_engine_is_one_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is mapped and damaged may do so: it is a word about the file, and ragops goes on."""
    monkeypatch.setattr(sys, "executable", engine_that_ends_by("BUS", tmp_path))
    (tmp_path / "1.snapshot").write_bytes(b"damaged")
    with pytest.raises(IntegrityError) as found:
        snapshot_reader.count_points(tmp_path / "1.snapshot")
    assert found.value.code == "snapshot_unreadable"
    assert "-7" in found.value.message


def test_what_lies_in_the_current_folder_is_not_run(
    server: Server, api: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(api, "docs", 3)
    part, _ = dump(server, tmp_path / "point")
    (tmp_path / "tarfile.py").write_text("raise SystemExit(9)\n")
    monkeypatch.chdir(tmp_path)
    assert snapshot_reader.count_points(tmp_path / "point" / part.name) == 3


def test_an_engine_that_is_killed_says_nothing_of_the_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel does where memory is short."""
    monkeypatch.setattr(sys, "executable", engine_that_ends_by("KILL", tmp_path))
    (tmp_path / "1.snapshot").write_bytes(b"good")
    with pytest.raises(RagopsError) as found:
        snapshot_reader.count_points(tmp_path / "1.snapshot")
    assert found.value.code == "tool_killed"


def test_a_collection_with_the_longest_name_has_snapshots(server: Server, api: httpx.Client, tmp_path: Path) -> None:
    make(api, "ä" * 127, 3)
    parts = dump(server, tmp_path / "point")
    ok(api.delete(f"/collections/{'ä' * 127}"))
    QdrantBackup().restore(server.endpoint, server, tmp_path / "point", parts)
    assert count(api, "ä" * 127) == 3


@pytest.mark.fault
def test_what_a_killed_dump_left_on_the_server_is_removed_by_the_next(
    server: Server, api: httpx.Client, tmp_path: Path
) -> None:
    make(api, "docs", 30)
    snapshots = "/collections/docs/shards/0/snapshots"
    mine = ok(api.post(snapshots, params={"wait": "true"}))["name"]
    journal = tmp_path / "journal" / "qdrant"
    handover = tmp_path / "handover"
    handover.write_bytes(pickle.dumps((server.endpoint, server.data, tmp_path / "killed", journal)))
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", textwrap.dedent(KILLED_DUMP), str(handover)]
    assert subprocess.run(command, env=environment, timeout=60, check=False).returncode == -signal.SIGKILL
    left = {item["name"] for item in ok(api.get(snapshots))}
    assert len(left) == 2
    assert mine in left
    backup_helpers.dump(QdrantBackup(), server.endpoint, server, tmp_path / "next", journal)
    assert [item["name"] for item in ok(api.get(snapshots))] == [mine]
    assert json.loads(journal.read_text()) == []


def test_preflight_refuses(server: Server, api: httpx.Client, tmp_path: Path) -> None:
    make(api, "docs", 1)
    part, catalogue = dump(server, tmp_path / "point")
    engine = QdrantBackup()
    other = Part(part.name, datetime.now(tz=UTC), part.counts, {"qdrant": "1.18.3"})
    newer = Part(part.name, datetime.now(tz=UTC), part.counts, {ENGINE: "0.10.0"})
    for bad, code in (([catalogue, other], "engine_differs"), ([catalogue, newer], "version_differs")):
        with pytest.raises(MissingError) as refused:
            engine.preflight(server.endpoint, server, tmp_path / "point", bad)
        assert refused.value.code == code
    with pytest.raises(IntegrityError):
        engine.preflight(server.endpoint, server, tmp_path / "point", [part])
    with pytest.raises(IntegrityError):
        engine.preflight(server.endpoint, server, tmp_path / "point", [catalogue])


def test_spec_is_what_the_engine_reads(layout: Layout) -> None:
    spec = service_spec(QdrantSettings(port=16333), {"qdrant_api_key": "secret"}, layout)
    for file in spec.files:
        (Path(layout.config_dir) / file.name).write_text(file.content)
    assert [file.name for file in spec.files if file.secret] == ["api_key"]
    assert all("secret" not in file.content for file in spec.files if not file.secret)
    assert spec.command[:3] == ("python", "-m", "ragops.devserver.qdrant")
    read = configuration.load(Path(spec.command[3]))
    assert (read.host, read.port, str(read.storage)) == ("127.0.0.1", 16333, layout.data_dir)
    assert configuration.read_keys(read.api_key_file)() == ("secret",)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    from ragops.services.spec import Layout

    (tmp_path / "config").mkdir()
    return Layout(str(tmp_path / "config"), str(tmp_path / "data"), "127.0.0.1")
