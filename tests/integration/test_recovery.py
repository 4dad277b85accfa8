"""Recovery points over both services."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ragops.errors import IntegrityError, MissingError, RagopsError, UsageError
from ragops.operations.backup import create
from ragops.operations.backup.verify import verify
from ragops.operations.restore.restore import RestoreRequest
from tests.backup_helpers import nothing_left, restore, stored, take


def documents(postgres) -> int:
    return postgres.sql("SELECT count(*) FROM rag.documents")[0][0]


def services_in(repos, ident: str) -> set[str]:
    return {part.service for part in repos.primary.get(ident).manifest.parts}


@pytest.fixture(autouse=True)
def tidy(postgres):
    yield
    if postgres.control.is_running():
        for (name,) in postgres.sql("SELECT datname FROM pg_database WHERE datname ~ '_before_'", database="postgres"):
            postgres.sql(f'DROP DATABASE "{name}"', database="postgres")


def test_one_set_over_all_services_metadata_first(valkey, postgres, whole_platform, repos):
    with valkey.redis() as client:
        client.set("a", 1)
    steps = []
    point = take(whole_platform, repos, on_progress=steps.append)
    assert [part.path for part in point.manifest.parts] == [
        "timescaledb/rag.dump", "timescaledb/server.json", "redis/dump.rdb", "platform/ragops.yaml",
    ]  # fmt: skip
    last_words = [step.resource for step in steps if step.final]  # services go on side by side
    assert sorted(last_words[:3]) == ["redis/dump.rdb", "timescaledb/rag.dump", "timescaledb/server.json"]
    assert last_words[3:] == ["platform/ragops.yaml"]
    instants = [part.instant for part in point.manifest.parts]
    assert instants == sorted(instants)
    with valkey.redis() as client:
        client.delete("a")
    postgres.sql("DELETE FROM rag.documents")
    result = restore(RestoreRequest(), whole_platform, repos)
    assert [service.service for service in result.services] == ["timescaledb", "redis"]
    assert documents(postgres) == 100
    with valkey.redis() as client:
        assert client.get("a") == "1"


def test_only_the_service_that_was_named(valkey, postgres, whole_platform, repos):
    with valkey.redis() as client:
        client.set("a", 1)
    take(whole_platform, repos)
    with valkey.redis() as client:
        client.delete("a")
    postgres.sql("DELETE FROM rag.documents")
    result = restore(RestoreRequest(services=("redis",)), whole_platform, repos)
    assert documents(postgres) == 0
    assert services_in(repos, result.safety) == {"redis", "platform"}
    with valkey.redis() as client:
        assert client.get("a") == "1"
    with pytest.raises(UsageError) as caught:
        restore(RestoreRequest(services=("qdrant",)), whole_platform, repos)
    assert caught.value.code == "not_in_recovery_point"


def test_damage_of_the_last_part_stops_the_first_service_too(valkey, postgres, whole_platform, repos):
    point = take(whole_platform, repos)
    stored(point, "redis/dump.rdb").write_bytes(b"")
    postgres.sql("DELETE FROM rag.documents")
    with pytest.raises(IntegrityError):
        restore(RestoreRequest(), whole_platform, repos)
    assert documents(postgres) == 0


def test_a_service_that_is_down_stops_a_backup_and_leaves_nothing(valkey, postgres, whole_platform, repos):
    valkey.kill()
    with pytest.raises(RagopsError) as caught:
        take(whole_platform, repos)
    assert caught.value.code == "redis_unreachable"
    assert nothing_left(repos)


def test_the_safety_point_has_what_is_up(valkey, postgres, whole_platform, repos):
    take(whole_platform, repos)
    valkey.kill()
    result = restore(RestoreRequest(), whole_platform, repos)
    assert services_in(repos, result.safety) == {"timescaledb", "platform"}
    assert "redis is down" in result.notes[0]
    assert valkey.control.is_running()


def test_what_is_not_provisioned_is_said(whole_platform, repos):
    take(whole_platform, repos)
    bare = replace(whole_platform, endpoints={})
    for attempt in (
        lambda: restore(RestoreRequest(), bare, repos),
        lambda: verify(bare, repos),
        lambda: create.run(bare, repos),
    ):
        with pytest.raises(MissingError) as caught:
            attempt()
        assert caught.value.code == "not_provisioned"
    assert not verify(None, repos).deep  # checksums need no engine
