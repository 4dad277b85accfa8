"""Restore drills on a real platform: what passes, what does not, and that nothing is left, whatever happens."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ragops.config.load import load
from ragops.operations.records import drill_log
from ragops.operations.restore.compare import compare
from ragops.services.qdrant.cluster.nodes import connect
from tests.backup_helpers import files_of, forge_counts, stored
from tests.loaded_platform import DOCUMENTS, KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.adapters.qdrant.http import HttpClient
    from tests.loaded_platform import Loaded

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def drills(loaded: Loaded) -> list[Path]:
    folder = loaded.session().project.paths.drill_projects
    return sorted(folder.iterdir()) if folder.exists() else []


def recorded(loaded: Loaded) -> str:
    path = loaded.session().project.paths.drills
    return path.read_text() if path.exists() else ""


def check(loaded: Loaded, name: str) -> dict[str, str]:
    probes = {probe["service"]: probe for probe in loaded.ragops("health", "--json", cwd=loaded.root).json()["probes"]}
    return next(item for item in probes["backup"]["checks"] if item["name"] == name)


def metric(loaded: Loaded, name: str) -> float:
    lines = (loaded.root / "metrics.prom").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(f"ragops_{name}{{")).split()[-1])


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    return {name: (facts.st_mtime_ns, facts.st_size) for name in files_of(folder) if (facts := (folder / name).stat())}


def test_a_recovery_point_is_proven_beside_the_live_platform(loaded: Loaded, processes_of: Any) -> None:
    before, pids = state_of(loaded.root / "backups"), loaded.pids()
    assert "none yet" in check(loaded, "restore drill")["detail"]
    found = loaded.run("backup", "drill", "--json", "--identity", str(loaded.identity)).json()
    assert found["counts"]["timescaledb"]["rag.chunks"] == DOCUMENTS
    assert found["counts"]["qdrant"]["manuals.points"] == DOCUMENTS
    assert found["counts"]["redis"]["keys"] >= KEYS
    assert found["samples"]["checked"] >= 2 * DOCUMENTS + 20, "rows, points and keys"
    assert (found["samples"]["missing"], found["samples"]["differing"]) == (0, 0)
    assert 0 < found["restore_seconds"] < found["seconds"]
    assert state_of(loaded.root / "backups") == before, "nothing is written where recovery points lie"
    assert loaded.pids() == pids, "the live platform goes on"
    assert drills(loaded) == []
    drilled = check(loaded, "restore drill")
    assert drilled["status"] == "ok"
    assert found["point"] in drilled["detail"]
    assert metric(loaded, "drill_last_run_success") == 1
    assert metric(loaded, "drill_last_success_timestamp_seconds") > metric(
        loaded, "backup_last_success_timestamp_seconds"
    )
    assert (loaded.root / "metrics.prom").stat().st_mode & 0o777 == 0o644
    assert "ragops_drill_data_age_seconds" in loaded.ragops("health", "--format", "prometheus", cwd=loaded.root).out


def test_one_that_says_more_than_it_holds_fails(loaded: Loaded) -> None:
    point = loaded.take()
    good = metric(loaded, "drill_last_success_timestamp_seconds")
    forge_counts(loaded.repositories(), point, "timescaledb/rag.dump", **{"rag.chunks": DOCUMENTS + 1})
    try:
        done = loaded.run("backup", "drill", point.id, "--json", "--identity", str(loaded.identity), code=6)
        assert done.error["code"] == "drill_failed"
        assert "rag.chunks" in done.error["message"]
        assert drills(loaded) == []
        drilled = check(loaded, "restore drill")
        assert drilled["status"] == "degraded"
        assert point.id in drilled["detail"]
        assert metric(loaded, "drill_last_run_success") == 0
        assert metric(loaded, "drill_last_success_timestamp_seconds") == good
    finally:
        shutil.rmtree(loaded.root / "backups" / "default" / point.id)


def test_what_is_not_there_or_not_for_us_begins_nothing(loaded: Loaded) -> None:
    records = loaded.session().project.paths.drills.read_text()
    loaded.run("backup", "drill", "nosuch", code=2)
    assert loaded.session().project.paths.drills.read_text() == records, "it says nothing about a recovery point"
    assert loaded.run("backup", "drill", "--json", code=7).error["code"] == "identity_missing"
    assert drills(loaded) == []
    drilled = check(loaded, "restore drill")
    assert drilled["status"] == "degraded", "nothing was proven, night by night"
    assert "identity" in drilled["detail"]


def test_no_restore_but_recover_reads_the_secrets_back(loaded: Loaded) -> None:
    point = loaded.point()
    sealed = stored(point, "platform/sealed.tar")
    content = sealed.read_bytes()
    sealed.unlink()
    try:
        loaded.run("restore", "latest", "--dry-run", "--identity", str(loaded.identity))
        error = loaded.run("backup", "verify", "latest", "--json", code=6).error
        assert "sealed.tar" in error["message"], "it is missing indeed"
    finally:
        sealed.write_bytes(content)


# --- samples, looked at on the live platform: what a restore might have made of it -----------------------------------


@pytest.fixture
def store(loaded: Loaded) -> Iterator[Store]:
    """The vectors, with one point to play with, which is put back."""
    with connect(loaded.session().endpoint("qdrant"), 30) as nodes:
        wanted = {"limit": 1, "with_payload": True, "with_vector": True}
        (point,) = nodes.first.send("POST", "/collections/manuals/points/scroll", wanted)["points"]
        store = Store(nodes.first, point)
        yield store
        store.put(point)


@dataclass
class Store:
    rest: HttpClient
    point: dict[str, Any]

    def put(self, point: dict[str, Any]) -> None:
        self.rest.send("PUT", "/collections/manuals/points", {"points": [point]}, wait="true")

    def delete(self, ident: str) -> None:
        self.rest.send("POST", "/collections/manuals/points/delete", {"points": [ident]}, wait="true")


def test_samples_find_what_counts_do_not(loaded: Loaded, store: Store) -> None:
    platform, point = loaded.session().platform(), loaded.point()
    assert compare(platform, point).faults == ()
    store.put({**store.point, "payload": {**store.point["payload"], "text": "other"}})
    found = compare(platform, point)
    assert len(found.differing) == 2, "seen from the row and from the point"
    assert f"point {store.point['id']} has another text than its row" in found.summary
    assert found.wrong_counts == ()


def test_a_row_without_its_point_and_a_point_without_its_row(loaded: Loaded, store: Store) -> None:
    platform, point = loaded.session().platform(), loaded.point()
    stranger = "00000000-0000-4000-8000-000000000001"
    store.put({**store.point, "id": stranger})
    store.delete(store.point["id"])
    try:
        found = compare(platform, point)
    finally:
        store.delete(stranger)
    assert found.missing == (f"manuals: chunk {store.point['id']} has no point",)
    assert found.orphans == 1
    assert found.wrong_counts == ()


def test_what_only_samples_find_fails_the_drill(loaded: Loaded, store: Store) -> None:
    store.put({**store.point, "payload": {**store.point["payload"], "text": "other"}})
    point = loaded.take()
    try:
        error = loaded.run("backup", "drill", point.id, "--json", "--identity", str(loaded.identity), code=6).error
        assert error["code"] == "drill_failed"
        assert "another text than its row" in error["message"]
        record = drill_log.read(loaded.session().project.paths.drills)[-1]
        assert (record.point, record.error) == (point.id, "drill_failed")
        assert record.samples["differing"] == 2
        assert record.counts["qdrant"]["manuals.points"] == DOCUMENTS
        assert drills(loaded) == []
    finally:
        shutil.rmtree(loaded.root / "backups" / "default" / point.id)


# --- ended on the way ------------------------------------------------------------------------------------------------


def begun(loaded: Loaded, wait_until: Any, service: str) -> Any:
    """A drill whose scratch platform has come as far as a process of `service`."""
    before, record = drills(loaded), f".ragops/run/default/{service}/process.json"
    process = loaded.ragops.start("backup", "drill", "--identity", str(loaded.identity), cwd=loaded.root)

    def runs() -> bool:
        return any((folder / record).exists() for folder in drills(loaded) if folder not in before)

    wait_until(lambda: runs() or process.poll() is not None, 120, "the start of the drill")
    assert process.poll() is None, process.communicate()
    return process


@pytest.mark.fault
@pytest.mark.campaign(sample=0)
def test_ctrl_c_leaves_nothing_and_backups_go_on_meanwhile(loaded: Loaded, wait_until: Any, processes_of: Any) -> None:
    records = recorded(loaded)
    pids = loaded.pids()
    process = begun(loaded, wait_until, "redis")
    (folder,) = drills(loaded)
    loaded.take()
    locked = loaded.run("backup", "drill", "--json", "--identity", str(loaded.identity), code=5)
    assert locked.error["code"] == "locked"
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert drills(loaded) == []
    assert processes_of(folder) == []
    assert recorded(loaded) == records, "it says nothing about the recovery point"
    assert loaded.pids() == pids


@pytest.mark.fault
@pytest.mark.campaign(sample=0)
def test_what_a_killed_drill_left_goes_with_the_next_and_one_can_be_kept(
    loaded: Loaded, wait_until: Any, processes_of: Any
) -> None:
    process = begun(loaded, wait_until, "gateway")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    (killed,) = drills(loaded)
    assert processes_of(killed), "its engines run on: nobody was left to stop them"
    done = loaded.run("backup", "drill", "--keep", "--json", "--identity", str(loaded.identity))
    kept = done.json()["kept"]
    assert [str(path) for path in drills(loaded)] == [kept]
    assert processes_of(killed) == []
    config = f"{kept}/ragops.yaml"
    assert loaded.run("health", "--config", config, "--json").json()["status"] == "ok"
    ours, theirs = loaded.session().project.settings, load(Path(config), None, {}).settings
    assert theirs.name != ours.name
    assert len(theirs.name) <= 31
    assert not {*ours.ports().values()} & {*theirs.ports().values()}
    process = begun(loaded, wait_until, "redis")  # the next one takes the kept one away first
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=120)
    assert drills(loaded) == []
    assert processes_of(loaded.root / ".ragops" / "drills") == []
