"""Recovery points over both services."""

from __future__ import annotations

import pytest

from ragops.errors import IntegrityError, MissingError, RagopsError, UsageError
from ragops.operations import backup
from ragops.operations.backup import Platform
from ragops.operations.restore import RestoreRequest, restore


def documents(postgres) -> int:
    return postgres.sql("SELECT count(*) FROM rag.documents")[0][0]


@pytest.fixture(autouse=True)
def tidy(postgres):
    yield
    if postgres.control.is_running():
        for (name,) in postgres.sql("SELECT datname FROM pg_database WHERE datname ~ '_before_'", database="postgres"):
            postgres.sql(f'DROP DATABASE "{name}"', database="postgres")


def test_one_set_over_all_services_metadata_first(valkey, postgres, whole_platform, repository):
    with valkey.redis() as client:
        client.set("a", 1)
    steps = []
    point = backup.run(whole_platform, repository, on_step=steps.append)
    assert [part.path for part in point.manifest.parts] == [
        "timescaledb/rag.dump", "redis/dump.rdb", "platform/ragops.yaml",
    ]  # fmt: skip
    assert [step.partition(":")[0] for step in steps] == ["timescaledb", "redis"]
    instants = [part.instant for part in point.manifest.parts]
    assert instants == sorted(instants)
    with valkey.redis() as client:
        client.delete("a")
    postgres.sql("DELETE FROM rag.documents")
    result = restore(RestoreRequest(), whole_platform, repository)
    assert [service.service for service in result.services] == ["timescaledb", "redis"]
    assert documents(postgres) == 100
    with valkey.redis() as client:
        assert client.get("a") == "1"


def test_only_the_service_that_was_named(valkey, postgres, whole_platform, repository):
    with valkey.redis() as client:
        client.set("a", 1)
    backup.run(whole_platform, repository)
    with valkey.redis() as client:
        client.delete("a")
    postgres.sql("DELETE FROM rag.documents")
    result = restore(RestoreRequest(services=("redis",)), whole_platform, repository)
    assert documents(postgres) == 0
    assert {part.service for part in result.safety.manifest.parts} == {"redis", "platform"}
    with valkey.redis() as client:
        assert client.get("a") == "1"
    with pytest.raises(UsageError) as caught:
        restore(RestoreRequest(services=("qdrant",)), whole_platform, repository)
    assert caught.value.code == "not_in_recovery_point"


def test_damage_of_the_last_part_stops_the_first_service_too(valkey, postgres, whole_platform, repository):
    point = backup.run(whole_platform, repository)
    (point.folder / "redis" / "dump.rdb").write_bytes(b"")
    postgres.sql("DELETE FROM rag.documents")
    with pytest.raises(IntegrityError):
        restore(RestoreRequest(), whole_platform, repository)
    assert documents(postgres) == 0


def test_a_service_that_is_down_stops_a_backup_and_leaves_nothing(valkey, postgres, whole_platform, repository):
    valkey.kill()
    with pytest.raises(RagopsError) as caught:
        backup.run(whole_platform, repository)
    assert caught.value.code == "redis_unreachable"
    assert list(repository.folder.iterdir()) == []


def test_the_safety_point_has_what_is_up(valkey, postgres, whole_platform, repository):
    backup.run(whole_platform, repository)
    valkey.kill()
    result = restore(RestoreRequest(), whole_platform, repository)
    assert {part.service for part in result.safety.manifest.parts} == {"timescaledb", "platform"}
    assert "redis is down" in result.notes[0]
    assert valkey.control.is_running()


def test_what_is_not_provisioned_is_said(whole_platform, repository):
    backup.run(whole_platform, repository)
    bare = Platform("test", "embedded", whole_platform.config, {}, whole_platform.control_of)
    for attempt in (
        lambda: restore(RestoreRequest(), bare, repository),
        lambda: backup.verify(bare, repository),
        lambda: backup.run(bare, repository),
    ):
        with pytest.raises(MissingError) as caught:
            attempt()
        assert caught.value.code == "not_provisioned"
    assert not backup.verify(None, repository).deep  # checksums need no engine
