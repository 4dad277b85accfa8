"""An engine is killed in the middle of its dump or of its restore: an error in words, and nothing lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.faults.lab import NAMES

if TYPE_CHECKING:
    from tests.integration.faults.lab import Lab

pytestmark = [pytest.mark.fault, pytest.mark.campaign(of="dying engines", sample=3)]

DUMPS = {
    "postgresql before pg_dump": ("timescaledb", r"start .*pg_dump"),
    "postgresql while rows are counted": ("timescaledb", r"sql Composed.*count"),
    "valkey before it sends its data": ("redis", r"redis SYNC"),
    "valkey while it sends its data": ("redis", r"open .*backups/.*/redis/"),
    "valkey after it has sent its data": ("redis", r"os\.rename .*backups/.*/redis/dump\.rdb"),
    "qdrant before a snapshot": ("qdrant", r"http POST /collections/books/shards/0/snapshots"),
    "qdrant between two snapshots": ("qdrant", r"http POST /collections/notes/shards/0/snapshots"),
    "qdrant before a snapshot is removed": ("qdrant", r"http DELETE /collections/books/shards/0/snapshots/"),
}

RESTORES = {
    "postgresql before its database is made": ("timescaledb", r"sql .*CREATE DATABASE"),
    "postgresql before pg_restore": ("timescaledb", r"start .*pg_restore.*--jobs"),
    "postgresql before it counts": ("timescaledb", r"sql ANALYZE"),
    "postgresql before the names change": ("timescaledb", r"sql .*ALTER DATABASE.*rag_before"),
    "postgresql between the names": ("timescaledb", r"sql .*ALTER DATABASE.*rag_restore"),
    "valkey before its data are made": ("redis", r"start .*valkey-server .*scratch\.conf"),
    "valkey once it is to be stopped": ("redis", r"os.mkdir .*redis\.new$"),
    "qdrant before a copy is filled": ("qdrant", r"http POST /collections/notes__ragops-restore/.*upload"),
    "qdrant before a collection goes": ("qdrant", r"http DELETE /collections/books$"),
    "qdrant once a collection is gone": ("qdrant", r"http PUT /collections/books$"),
    "qdrant before a collection is filled": ("qdrant", r"http POST /collections/books/.*upload"),
    "qdrant between two collections": ("qdrant", r"http DELETE /collections/notes$"),
    "qdrant before the aliases": ("qdrant", r"http POST /collections/aliases"),
}


@pytest.mark.parametrize("moment", DUMPS)
def test_killed_during_its_dump(lab: Lab, moment: str) -> None:
    name, effect = DUMPS[moment]
    with lab.paused("backup", "run", "--json", at=effect) as ended:
        lab.kill(name)
    assert "fault in ragops" not in ended[0].out
    whole = [point["id"] for point in lab.listed()]
    if ended[0].code == 0:  # it had all that it needed
        assert whole == [ended[0].json()["id"]]
    elif ended[0].error["code"] == "platform_unhealthy":  # it had, too, and says what is down
        assert len(whole) == 1
    else:
        assert not whole
    lab.start(name)
    assert lab.contents() == lab.expected("A")
    point = lab.take()
    assert not lab.leftovers()
    lab.fill("B")
    lab("restore", point, "--yes", "--no-safety")
    assert lab.contents() == lab.expected("A")


@pytest.mark.parametrize("moment", RESTORES)
def test_killed_during_its_restore(changed: Lab, point_a: str, moment: str) -> None:
    lab, (name, effect) = changed, RESTORES[moment]
    with lab.paused("restore", point_a, "--yes", "--json", at=effect) as ended:
        lab.kill(name)
    assert "fault in ragops" not in ended[0].out
    goes_on(lab, point_a, name)


def test_the_scratch_server_is_killed(changed: Lab, point_a: str) -> None:
    """The one that makes Valkey's new data: the live one has not heard of it yet."""
    lab = changed
    with lab.paused("restore", point_a, "--yes", "--json", at=r"redis CONFIG SET appendonly") as ended:
        (scratch,) = lab.tools()
        scratch.kill()
    assert ended[0].code not in (0, 6), ended[0].err
    assert "fault in ragops" not in ended[0].out
    assert lab.content("redis") == lab.expected("B")["redis"], "it still serves"
    goes_on(lab, point_a, "redis")


@pytest.mark.parametrize("name", NAMES)
def test_killed_before_the_restore_begins(changed: Lab, point_a: str, name: str) -> None:
    """One that is down is brought back by the restore itself; its way back is what the others held."""
    lab = changed
    lab.kill(name)
    lab("restore", point_a, "--yes")
    assert lab.contents() == lab.expected("A")
    assert not lab.leftovers()


def goes_on(lab: Lab, point: str, name: str) -> None:
    """The killed one is up again, or can be; each store has one of its contents; the same command completes."""
    lab.start(name)
    for each in NAMES:
        assert lab.old_or_new(each, old="B", new="A"), f"{each} has neither its old nor its new contents"
    lab("restore", point, "--yes")
    assert lab.contents() == lab.expected("A")
    assert not lab.leftovers()
