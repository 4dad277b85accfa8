"""What restores keep aside: listed with sizes, told by health when it is old, removed when that is asked for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.integration.faults.lab import Lab

pytestmark = [pytest.mark.fault]

USAGE, FAILED = 2, 1


def kept(lab: Lab, *arguments: str) -> list[dict[str, Any]]:
    return list(lab("restore", "clean", "--dry-run", "--json", *arguments).json()["kept"])


def restored(lab: Lab) -> str:
    """A restore of all, which keeps a database and Redis's folder."""
    point = lab.take()
    lab.fill("B")
    lab("restore", point, "--yes")
    return point


def aged(lab: Lab, days: int) -> tuple[Path, str]:
    """A folder and a database, as a restore of `days` days ago has kept them."""
    then = datetime.now(tz=UTC) - timedelta(days=days)
    folder = lab.paths.data_dir("redis").with_name(f"redis.before-restore-{then:%Y%m%dT%H%M%S%f}")
    folder.mkdir()
    (folder / "dump.rdb").write_bytes(b"x" * 5_000_000)
    name = f"rag_before_{then:%Y%m%dt%H%M%S%f}"[:-3]
    lab.sql(f'CREATE DATABASE "{name}"', "postgres")
    return folder, name


def databases(lab: Lab) -> set[str]:
    return {name for (name,) in lab.sql("SELECT datname FROM pg_database WHERE datname ~ '^rag_'", "postgres")}


@pytest.fixture
def clean_lab(lab: Lab) -> Lab:
    lab("restore", "clean", "--yes")
    return lab


def test_what_a_restore_keeps_is_listed_and_removed(clean_lab: Lab) -> None:
    lab = clean_lab
    assert kept(lab) == []
    restored(lab)
    found = kept(lab)
    assert [(item["service"], item["kind"]) for item in found] == [("timescaledb", "database"), ("redis", "folder")]
    assert all(item["size"] > 0 and item["since"] for item in found)
    assert kept(lab, "--older-than", "1d") == []
    assert [item["service"] for item in kept(lab, "--service", "redis")] == ["redis"]
    refused = lab("restore", "clean", "--json", code=USAGE)
    assert refused.error["code"] == "confirmation_needed"
    for item in found:
        assert item["name"] in refused.error["message"], "it is said what would go"
    done = lab("restore", "clean", "--yes")
    for item in found:
        assert item["name"] in done.out
    assert not Path(found[1]["name"]).exists()
    assert found[0]["name"] not in databases(lab)
    assert kept(lab) == []
    assert lab.contents() == lab.expected("A"), "what serves is not touched"
    audit = [json.loads(line) for line in lab.paths.audit.read_text().splitlines()]
    assert "restore clean" in audit[-1]["command"]


def test_only_what_is_older(clean_lab: Lab) -> None:
    lab = clean_lab
    restored(lab)
    folder, name = aged(lab, 30)
    old = kept(lab, "--older-than", "7d")
    assert [item["name"] for item in old] == [name, str(folder)]
    assert old[1]["size"] == 5_000_000
    check = {item["name"]: item for item in _backup_checks(lab)}["kept by restores"]
    assert check["status"] == "degraded"
    assert "2 databases or folders" in check["detail"]
    assert "ragops restore clean --older-than 7d" in check["hint"]
    removed = lab("restore", "clean", "--older-than", "7d", "--yes", "--json").json()["removed"]
    assert [item["name"] for item in removed] == [name, str(folder)]
    assert len(kept(lab)) == 2
    assert "kept by restores" not in {item["name"] for item in _backup_checks(lab)}


def _backup_checks(lab: Lab) -> list[dict[str, Any]]:
    values = lab("health", "--json", code=None).json()
    return [check for service in values["probes"] for check in service["checks"] if service["service"] == "backup"]


def test_copies_of_collections_that_are_there(clean_lab: Lab) -> None:
    lab = clean_lab
    for name in ("books__ragops-restore", "gone__ragops-restore"):
        lab.qdrant("PUT", f"/collections/{name}", {"vectors": {"size": 4, "distance": "Dot"}})
    try:
        done = lab("restore", "clean", "--yes")
        assert "books__ragops-restore" in done.out
        assert "gone__ragops-restore stays: gone is away" in done.err
    finally:
        lab.qdrant("DELETE", "/collections/gone__ragops-restore")
    names = {item["name"] for item in lab.qdrant("GET", "/collections")["collections"]}
    assert "books" in names
    assert "books__ragops-restore" not in names


def test_a_server_that_is_down_keeps_its_own_and_folders_go(clean_lab: Lab) -> None:
    lab = clean_lab
    folder, name = aged(lab, 30)
    lab.kill("timescaledb")
    try:
        done = lab("restore", "clean", "--yes", code=None)
        assert done.code != 0
        assert "cannot clean timescaledb" in done.err
        assert not folder.exists()
    finally:
        lab.start()
    assert name in databases(lab)
    lab("restore", "clean", "--yes")


def test_other_things_and_wrong_words_are_left_alone(clean_lab: Lab) -> None:
    lab = clean_lab
    mine = lab.paths.all_data / "redis.before-christmas"
    mine.mkdir()
    lab.sql("CREATE DATABASE rag_before_lunch", "postgres")
    try:
        assert kept(lab) == []
        for wrong in ("7", "days", "-1d", ""):
            assert lab("restore", "clean", "--older-than", wrong, "--json", code=USAGE).error["code"] == "usage"
        assert lab("restore", "latest", "--older-than", "7d", "--json", code=USAGE).error["code"] == "usage"
    finally:
        lab.sql("DROP DATABASE rag_before_lunch", "postgres")
        mine.rmdir()


def test_not_while_a_restore_is_half_done(clean_lab: Lab) -> None:
    lab = clean_lab
    folder, name = aged(lab, 30)
    lab.paths.restore_journal.write_text(
        json.dumps(
            {
                "point": "20260102T030405Z-000001",
                "services": ["redis"],
                "started": datetime.now(tz=UTC).isoformat(),
                "done": [],
                "safety": "",
            }
        )
    )
    refused = lab("restore", "clean", "--yes", "--json", code=FAILED)
    assert refused.error["code"] == "restore_interrupted"
    assert "ragops restore 20260102T030405Z-000001" in refused.error["hint"]
    lab.paths.restore_journal.unlink()
    assert folder.exists()
    assert name in databases(lab)
    lab("restore", "clean", "--yes")
