"""One node as a runtime sees it, and what its start decides."""

from __future__ import annotations

import json
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ragops.render import render
from ragops.runtimes.docker.provision import args as docker_args
from ragops.services.contract import Node
from ragops.services.qdrant.component import cluster_endpoint
from ragops.services.qdrant.names import API_KEY_SECRET, IMAGE
from ragops.services.qdrant.node import image, node_spec, version
from ragops.services.qdrant.settings import QdrantSettings, instance
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.services.spec import Layout, ServiceSpec

SECRETS = {API_KEY_SECRET: 'hunter2-"quoted": {yes}'}


def layouts(settings: QdrantSettings) -> list[Layout]:
    names = (instance(number) for number in range(1, settings.nodes + 1))
    return [docker_args.layout(name, image(settings)) for name in names]


def spec(number: int = 1, **section: object) -> ServiceSpec:
    settings = QdrantSettings(**section)
    return node_spec(settings, SECRETS, layouts(settings), number)


def test_the_key_is_in_a_secret_file_and_nowhere_else() -> None:
    found = spec(2)
    secret = {file.name: file.content for file in found.files if file.secret}
    assert json.loads(secret["key.yaml"]) == {"service": {"api_key": SECRETS[API_KEY_SECRET]}}
    open_to_all = [*found.command, *found.environment.values(), *(f.content for f in found.files if not f.secret)]
    assert "hunter2" not in "".join(open_to_all)


def test_nodes_that_others_send_no_key_do_not_ask_for_it() -> None:
    settings = QdrantSettings()
    found = node_spec(settings, SECRETS, layouts(settings), 1, asks_nodes=False)
    changed = dict(found.environment.items() - spec(1).environment.items())
    assert changed == {"QDRANT__SERVICE__ENFORCE_INTERNAL_AUTH": "false"}


def test_environment() -> None:
    assert spec(3, shards_per_node=4).environment == {
        "QDRANT__LOG_LEVEL": "INFO,actix_web::middleware::logger=WARN",
        "QDRANT__TELEMETRY_DISABLED": "true",
        "QDRANT__CLUSTER__ENABLED": "true",
        "QDRANT__CLUSTER__P2P__PORT": "6335",
        "QDRANT__SERVICE__HOST": "0.0.0.0",
        "QDRANT__SERVICE__HTTP_PORT": "6333",
        "QDRANT__SERVICE__GRPC_PORT": "6334",
        "QDRANT__SERVICE__HTTP_KEEP_ALIVE_TIMEOUT_SEC": "75",
        "QDRANT__SERVICE__ENABLE_TLS": "false",
        "QDRANT__SERVICE__ENABLE_CORS": "false",
        "QDRANT__SERVICE__ENFORCE_INTERNAL_AUTH": "true",
        "QDRANT__SERVICE__ENABLE_SNAPSHOT_URL_RECOVERY": "false",
        "QDRANT__STORAGE__STORAGE_PATH": "/qdrant/storage/current",
        "QDRANT__STORAGE__SNAPSHOTS_PATH": "/qdrant/storage/current/snapshots",
        "QDRANT__STORAGE__COLLECTION__REPLICATION_FACTOR": "3",
        "QDRANT__STORAGE__COLLECTION__WRITE_CONSISTENCY_FACTOR": "2",
        "QDRANT__STORAGE__COLLECTION__SHARD_NUMBER": "12",
        "QDRANT_INIT_FILE_PATH": "/qdrant/storage/current/.qdrant-initialized",
    }


def test_rest_and_grpc_are_published_and_the_port_between_the_nodes_is_not() -> None:
    found = spec(3, port=7000)
    assert dict(found.publish) == {"rest": 7020, "grpc": 7021}
    assert dict(found.ports) == {"rest": 6333, "grpc": 6334}


def test_image_and_version() -> None:
    assert image(QdrantSettings()).reference == IMAGE
    other = QdrantSettings(image="registry.example/qdrant:v1.19.0-unprivileged", memory="512mb")
    assert (image(other).reference, version(other)) == (other.image, "1.19.0")
    assert version(QdrantSettings(image="qdrant:latest")) == version(QdrantSettings())
    assert spec(memory="512mb").memory == 512 << 20
    assert spec(memory="").memory == 0


def test_endpoint_names_every_node_from_both_sides() -> None:
    settings = QdrantSettings(port=7000)

    class Runtime:
        name = "docker"
        capabilities = frozenset()

        def runtime_id(self, name: str) -> str:
            return f"test-default-{name}"

    endpoint = cluster_endpoint(settings, Runtime(), layouts(settings))
    assert dict(endpoint.options) == {}
    chosen = QdrantSettings(replication_factor=2, shards_per_node=2)
    options = cluster_endpoint(chosen, Runtime(), layouts(chosen)).options
    assert dict(options) == {"replication_factor": "2", "shard_number": "6"}
    assert endpoint.nodes == tuple(
        Node(
            f"qdrant-{number}", f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}",
            f"http://qdrant-{number}:6333", f"http://qdrant-{number}:6334",
        )
        for number, port in ((1, 7000), (2, 7010), (3, 7020))
    )  # fmt: skip
    assert (endpoint.port, endpoint.runtime_id) == (7000, "test-default-qdrant-1")
    assert endpoint.internal_address == ("qdrant-1", 6333)


# --- the start --------------------------------------------------------------------------------------------------------


@contextmanager
def listener() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def started(folder: Path, port: int, first: str, others: list[str]) -> list[str]:
    """The arguments that the node would be started with."""
    script = folder / "join.sh"
    text = render(
        "qdrant/join.sh.j2", secrets="/etc/ragops/key.yaml", program="echo", host="me",
        others=others, first=first, port=port,
    )  # fmt: skip
    script.write_text(text)
    done = subprocess.run(["bash", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stderr == ""
    return done.stdout.split()


BARE = ["--config-path", "/etc/ragops/key.yaml", "--uri"]


def test_first_node_begins_a_cluster_where_nobody_answers(tmp_path: Path) -> None:
    port = free_port()
    assert started(tmp_path, port, "", ["127.0.0.1", "127.0.0.1"]) == [*BARE, f"http://me:{port}"]


def test_single_node_begins_a_cluster(tmp_path: Path) -> None:
    assert started(tmp_path, 6335, "", []) == [*BARE, "http://me:6335"]


def test_other_nodes_wait_for_the_first_where_nobody_answers(tmp_path: Path) -> None:
    port = free_port()
    joined = ["--bootstrap", f"http://qdrant-1:{port}"]
    assert started(tmp_path, port, "qdrant-1", ["127.0.0.1"]) == [*BARE, f"http://me:{port}", *joined]


@pytest.mark.parametrize("first", ["", "qdrant-1"])
def test_a_node_joins_whoever_answers(tmp_path: Path, first: str) -> None:
    with listener() as port:
        joined = ["--bootstrap", f"http://127.0.0.1:{port}"]
        assert started(tmp_path, port, first, ["no.such.host.invalid", "127.0.0.1"]) == [
            *BARE, f"http://me:{port}", *joined,
        ]  # fmt: skip
