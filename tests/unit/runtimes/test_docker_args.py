"""The exact arguments of containers, volumes and networks."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from ragops.runtimes.docker.facts import TRAITS
from ragops.runtimes.docker.names import DockerNames
from ragops.runtimes.docker.provision import args as docker_args
from ragops.services.spec import ConfigFile, ExecCheck, ImageSpec, InitStep, Layout, ServiceSpec, TcpCheck

NAMES = DockerNames("shop", "prod")
IMAGE = ImageSpec("engine:1", "/var/lib/engine", "engine", writable=("/run/engine", "/tmp"))
SPEC = ServiceSpec(
    service="engine",
    version="1",
    command=("engined", "--conf", "/etc/ragops/engine.conf"),
    files=(ConfigFile("engine.conf", "a = 1\n"), ConfigFile("password", "hunter2\n", secret=True)),
    ports={"engine": 1234, "peers": 1235, "admin": 1236},
    health=ExecCheck(("engine-cli", "ping")),
    environment={"ZONE": "b", "AREA": "a"},
    init=InitStep(("mkengine", "{data}"), "VERSION"),
    lock_files=("engine.pid",),
    stop_signal="SIGINT",
    stop_grace=29.5,
    start_timeout=120,
    instance="engine-2",
    image=IMAGE,
    publish={"peers": 5001, "engine": 5002},
    memory=512 * 1024 * 1024 - 1,
    shm=128 * 1024 * 1024,
)
START = """set -eu
umask 077
data=/var/lib/engine/current
[ -e "$data" ] || [ ! -e "$data.ready" ] || mv "$data.ready" "$data"
if [ ! -e "$data"/VERSION ]; then
  [ -z "$(ls -A "$data" 2>/dev/null)" ] || { echo '/var/lib/engine/current has files but no VERSION: \
move it away, or restore it from a recovery point' >&2; exit 78; }
  rm -rf "$data".init-*
  mkengine /var/lib/engine/current.init-new
  [ ! -e "$data" ] || rmdir "$data"
  sync; mv /var/lib/engine/current.init-new "$data"
fi
rm -f "$data"/engine.pid
exec "$@\""""


def args(
    spec: ServiceSpec = SPEC, image: ImageSpec = IMAGE, expose: tuple[str, ...] = ("127.0.0.1",)
) -> dict[str, object]:
    return docker_args.container_args(spec, image, NAMES, image_id="sha256:1", network="net-1", expose=expose)


def label(found: dict[str, object], name: str) -> str:
    labels = found["labels"]
    assert isinstance(labels, list)
    return next(entry["value"] for entry in labels if entry["label"] == name)


def test_every_argument_of_a_container() -> None:
    found = args()
    digest = label(found, "io.ragops.config")
    assert len(digest) == 64
    tmpfs = "rw,nosuid,nodev,noexec,size=256m,mode=1777"
    assert found == {
        "name": "shop-prod-engine-2",
        "hostname": "engine-2",
        "image": "sha256:1",
        "entrypoints": ["/bin/sh", "-c", START, "ragops"],
        "command": ["engined", "--conf", "/etc/ragops/engine.conf"],
        "envs": ["AREA=a", "ZONE=b"],
        "user": "engine",
        "must_run": True,
        "restart": "unless-stopped",
        "stop_signal": "SIGINT",
        "stop_timeout": 30,
        "destroy_grace_seconds": 30,
        "network_mode": "bridge",
        "networks_advanced": [{"name": "net-1", "aliases": ["engine-2"]}],
        "ports": [
            {"internal": 1234, "external": 5002, "ip": "127.0.0.1", "protocol": "tcp"},
            {"internal": 1235, "external": 5001, "ip": "127.0.0.1", "protocol": "tcp"},
        ],
        "volumes": [
            {"volume_name": "shop-prod-engine-2-data", "container_path": "/var/lib/engine", "read_only": False},
            {"volume_name": "shop-prod-engine-2-config", "container_path": "/etc/ragops", "read_only": True},
        ],
        "read_only": True,
        "tmpfs": {"/run/engine": tmpfs, "/tmp": tmpfs},
        "capabilities": {"drops": ["ALL"]},
        "security_opts": ["no-new-privileges:true"],
        "log_driver": "json-file",
        "log_opts": {"max-size": "10m", "max-file": "3"},
        "healthcheck": {
            "tests": ["CMD", "engine-cli", "ping"],
            "interval": "10s",
            "timeout": "5s",
            "start_period": "2m0s",
            "retries": 3,
        },
        "labels": [
            {"label": "io.ragops.config", "value": digest},
            {"label": "io.ragops.environment", "value": "prod"},
            {"label": "io.ragops.instance", "value": "engine-2"},
            {"label": "io.ragops.platform", "value": "shop"},
            {"label": "io.ragops.service", "value": "engine"},
        ],
        "memory": 512,
        "memory_swap": 512,
        "shm_size": 128,
    }


def test_no_secret_is_in_the_arguments() -> None:
    assert "hunter2" not in str(args())


def test_what_a_service_does_not_ask_for_it_does_not_get() -> None:
    bare = replace(SPEC, files=(), init=None, lock_files=(), publish={}, memory=0, shm=0, environment={}, instance="")
    found = args(bare, ImageSpec("engine:1", "", "1000"))
    assert (found["name"], found["ports"], found["volumes"], found["envs"]) == ("shop-prod-engine", [], [], [])
    assert found["tmpfs"] == {}
    assert not {"memory", "memory_swap", "shm_size"} & set(found)
    assert found["entrypoints"] == ["/bin/sh", "-c", 'set -eu\numask 077\nexec "$@"', "ragops"]


def test_hot_files_lie_in_a_volume_of_their_own() -> None:
    hot = replace(SPEC, hot=(ConfigFile("keys.json", "{}"),))
    volumes = args(hot, replace(IMAGE, hot_dir="/etc/ragops-hot"))["volumes"]
    assert isinstance(volumes, list)
    assert volumes[2] == {
        "volume_name": "shop-prod-engine-2-hot",
        "container_path": "/etc/ragops-hot",
        "read_only": True,
    }


def test_ports_are_exposed_only_where_asked() -> None:
    ports = args(expose=("10.0.0.5",))["ports"]
    assert isinstance(ports, list)
    assert {port["ip"] for port in ports} == {"10.0.0.5"}


@pytest.mark.parametrize(
    "changed",
    [
        replace(SPEC, files=(ConfigFile("engine.conf", "a = 2\n"), SPEC.files[1])),
        replace(SPEC, files=(SPEC.files[0], ConfigFile("password", "other\n", secret=True))),
        replace(SPEC, files=SPEC.files[:1]),
        replace(SPEC, health=ExecCheck(("engine-cli", "pong"))),
        replace(SPEC, start_timeout=60),
        replace(SPEC, memory=0),
    ],
)
def test_what_the_plugin_cannot_change_in_place_changes_the_label(changed: ServiceSpec) -> None:
    assert docker_args.digest(changed, IMAGE) != docker_args.digest(SPEC, IMAGE)


def test_folders_that_take_files_change_the_label() -> None:
    assert docker_args.digest(SPEC, replace(IMAGE, writable=())) != docker_args.digest(SPEC, IMAGE)


def test_hot_files_and_a_larger_limit_change_no_label() -> None:
    changed = replace(SPEC, hot=(ConfigFile("keys.json", "{}"),), memory=SPEC.memory * 2)
    assert docker_args.digest(changed, IMAGE) == docker_args.digest(SPEC, IMAGE)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1s"), (59.2, "1m0s"), (60, "1m0s"), (90, "1m30s"), (3600, "1h0m0s"), (7384, "2h3m4s")],
)
def test_durations_are_written_as_docker_reads_them_back(seconds: float, text: str) -> None:
    assert docker_args.duration(seconds) == text


def test_a_check_from_outside_is_refused() -> None:
    with pytest.raises(TypeError, match="TcpCheck"):
        args(replace(SPEC, health=TcpCheck(1234)))


def test_layout_of_an_image() -> None:
    assert docker_args.layout("engine-2", IMAGE) == Layout(
        "/etc/ragops", "/var/lib/engine/current", "0.0.0.0", internal_host="engine-2", **asdict(TRAITS)
    )
    assert docker_args.layout("api", ImageSpec("api:1", "", "1000")).data_dir == ""


def test_network_and_volumes() -> None:
    labels = [
        {"label": "io.ragops.environment", "value": "prod"},
        {"label": "io.ragops.platform", "value": "shop"},
    ]
    assert docker_args.network_args(NAMES) == {"name": "shop-prod", "driver": "bridge", "labels": labels}
    volume = docker_args.volume_args(SPEC, NAMES)
    assert volume["name"] == "shop-prod-engine-2-data"
    assert {"label": "io.ragops.instance", "value": "engine-2"} in volume["labels"]


def test_files_are_divided_by_secrecy() -> None:
    found = docker_args.files_args(SPEC, IMAGE, NAMES, image_id="sha256:1", files=SPEC.files, volume="v")
    assert found == {
        "volume": "v",
        "image": "sha256:1",
        "owner": "engine",
        "files": {"engine.conf": "a = 1\n"},
        "secret_files": {"password": "hunter2\n"},
        "labels": NAMES.labels("engine", "engine-2"),
    }


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        ({}, ["127.0.0.1", "fd00::5"]),
        ({6379: ("fd00::5", "127.0.0.1")}, ["fd00::5", "127.0.0.1"]),
        ({6379: ("fd00::6", "127.0.0.1")}, ["127.0.0.1", "fd00::5"]),
    ],
)
def test_several_addresses_are_in_the_order_of_the_container(
    read: dict[int, tuple[str, ...]], expected: list[str]
) -> None:
    arguments = docker_args.container_args(
        SPEC, IMAGE, NAMES, image_id="sha256:1", network="net-1", expose=docker_args.addresses("fd00::5"),
        published={inner: read.get(6379, ()) for inner in SPEC.ports.values()} if read else {},
    )  # fmt: skip
    assert [port["ip"] for port in arguments["ports"]][:2] == expected
