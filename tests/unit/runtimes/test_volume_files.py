"""When the files of a volume are to be written again; nothing here asks Docker."""

from __future__ import annotations

import pytest

from ragops.runtimes.docker.containers.files import from_props
from ragops.runtimes.docker.names import temporary
from ragops.runtimes.docker.provision.volume_files import VolumeFilesProvider

PROPS = {
    "volume": "rag-default-redis-config",
    "image": "sha256:1",
    "owner": "redis",
    "labels": {"io.ragops.platform": "rag"},
    "files": {"redis.conf": "port 6379\n", "tls/ca.pem": "x"},
    "secret_files": {"users.acl": "hunter2"},
}
OUTS = {"volume": PROPS["volume"], "digest": from_props(PROPS).digest(), "state": "as written"}


def test_the_same_again_is_no_change() -> None:
    assert not VolumeFilesProvider().diff("", OUTS, PROPS).changes


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"redis.conf": "port 7000\n"}},
        {"secret_files": {"users.acl": "hunter3"}},
        {"image": "sha256:2"},
        {"owner": "999"},
        {"labels": {}},
    ],
)
def test_whatever_makes_the_files_is_a_change(change: dict) -> None:
    found = VolumeFilesProvider().diff("", OUTS, {**PROPS, **change})
    assert found.changes
    assert not found.replaces


def test_another_volume_is_another_resource() -> None:
    assert VolumeFilesProvider().diff("", OUTS, {**PROPS, "volume": "x"}).replaces == ["volume"]


def test_a_change_by_hand_and_a_foreign_state_are_changes() -> None:
    assert VolumeFilesProvider().diff("", {**OUTS, "state": "redis.conf changed by hand"}, PROPS).changes
    assert VolumeFilesProvider().diff("", {}, PROPS).changes
    assert VolumeFilesProvider().diff("", OUTS, {"volume": PROPS["volume"]}).changes


def test_the_digest_of_the_content_knows_nothing_but_the_content() -> None:
    digest = from_props(PROPS).content_digest()
    assert from_props({**PROPS, "image": "sha256:2", "labels": {}}).content_digest() == digest
    assert from_props({**PROPS, "secret_files": {}}).content_digest() != digest


def test_names_at_the_top() -> None:
    assert from_props(PROPS).tops == ["redis.conf", "tls", "users.acl"]


def test_a_short_lived_container_belongs_to_the_environment_and_to_no_service() -> None:
    labels = {"io.ragops.platform": "rag", "io.ragops.environment": "default", "io.ragops.service": "redis"}
    assert temporary(labels, "move") == {
        "io.ragops.platform": "rag",
        "io.ragops.environment": "default",
        "io.ragops.temporary": "move",
    }
