"""What a container may do and who can reach it, as Docker has it; where passwords are, and where they are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.engine

ALL = ("timescaledb", "redis", "qdrant-1", "qdrant-2", "qdrant-3", "api", "gateway")
PUBLISHED = {
    "timescaledb": ["5432/tcp"], "redis": ["6379/tcp"], "api": ["8080/tcp"], "gateway": ["8000/tcp", "8443/tcp"],
    **{f"qdrant-{number}": ["6333/tcp", "6334/tcp"] for number in (1, 2, 3)},
}  # fmt: skip
MEMORY = {"redis": 256}  # MiB; twice its data and room for itself


@pytest.mark.parametrize("instance", ALL)
def test_a_container_is_confined(shared: Any, instance: str) -> None:
    raw = shared.inspect(instance)
    host, config = raw["HostConfig"], raw["Config"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Privileged"] is False
    assert host["ReadonlyRootfs"] is True
    assert host["PidMode"] == host["UTSMode"] == ""
    assert not host["Binds"] or all(not bind.startswith("/") for bind in host["Binds"])
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}
    assert host["Memory"] == MEMORY.get(instance, 512) << 20
    assert host["MemorySwap"] == host["Memory"]
    assert config["User"]
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert config["Image"].startswith("sha256:")
    assert raw["State"]["Health"]["Status"] in ("healthy", "starting")


@pytest.mark.parametrize("instance", ALL)
def test_its_process_is_nobody_special(shared: Any, instance: str) -> None:
    """As the kernel has it: no root (Qdrant's image knows no other user), no capability, none to be gained."""
    status = Path(
        f"/proc/{shared.docker.api.inspect_container(shared.name(instance))['State']['Pid']}/status"
    ).read_text()
    values = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert instance.startswith("qdrant") or not set(values["Uid"].split()) & {"0"}
    assert {values[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {""}
    assert values["NoNewPrivs"] == "1"


@pytest.mark.parametrize("instance", ALL)
def test_only_its_doors_are_published_and_only_on_this_machine(shared: Any, instance: str) -> None:
    """Kong's Admin API and the port between the nodes are none of them."""
    ports = shared.inspect(instance)["NetworkSettings"]["Ports"]
    published = {inner: bindings for inner, bindings in ports.items() if bindings}
    assert sorted(published) == PUBLISHED[instance]
    assert {binding["HostIp"] for bindings in published.values() for binding in bindings} == {"127.0.0.1"}
    assert list(shared.inspect(instance)["NetworkSettings"]["Networks"]) == [shared.names.network]


def test_kongs_admin_api_answers_nobody_outside_its_container(whole: Any) -> None:
    ask = "exec 3<>/dev/tcp/{}/8001 && echo open"
    assert whole.docker.exec(whole.name("gateway"), ("bash", "-c", ask.format("127.0.0.1"))).text == "open\n"
    other = whole.docker.exec(whole.name("qdrant-1"), ("bash", "-c", ask.format("gateway")))
    assert (other.text, other.code != 0) == ("", True)


@pytest.mark.parametrize("instance", ALL)
def test_it_writes_where_its_data_are_and_reads_its_configuration(shared: Any, instance: str) -> None:
    mounts = {mount["Destination"]: (mount["Type"], mount["RW"]) for mount in shared.inspect(instance)["Mounts"]}
    assert {kind for kind, _writable in mounts.values()} == {"volume"}
    assert mounts["/etc/ragops"] == ("volume", False)
    for target in ("/etc/ragops/x", "/etc/x", "/usr/x"):
        assert shared.docker.exec(shared.name(instance), ("sh", "-c", f"echo > {target}")).code != 0, target


def _secrets(whole: Any) -> dict[str, str]:
    stored = json.loads((whole.root / ".ragops" / "secrets" / "default.json").read_text())
    values = {name: value for name, value in stored.items() if isinstance(value, str) and len(value) >= 12}
    assert len(values) >= 5
    return values


def _found(secrets: dict[str, str], text: str) -> list[str]:
    return [name for name, value in secrets.items() if value in text]


def test_no_password_is_in_what_docker_shows(whole: Any) -> None:
    secrets = _secrets(whole)
    for instance in ALL:
        assert _found(secrets, json.dumps(whole.inspect(instance))) == []
        log = whole.docker.api.logs(whole.name(instance)).decode(errors="replace")
        assert _found(secrets, log) == []


def test_no_password_is_in_the_state_a_plan_or_a_file_that_others_read(whole: Any) -> None:
    secrets = _secrets(whole)
    states = [path for path in (whole.root / ".ragops" / "pulumi").rglob("*") if path.is_file()]
    assert [path for path in states if path.name == "default.json"]
    for path in states:
        assert _found(secrets, path.read_text(errors="replace")) == [], path
    whole.configure(redis={"maxmemory": "80mb"})
    try:
        for arguments in (("plan",), ("--json", "plan"), ("--json", "status"), ("outputs",), ("--json", "drift")):
            done = whole.run(*arguments, code=None)
            assert _found(secrets, done.out + done.err) == [], arguments
    finally:
        whole.configure(redis={"maxmemory": "64mb"})
    for path in (whole.root / ".ragops").rglob("*"):
        if path.is_file() and _found(secrets, path.read_text(errors="replace")):
            assert path.stat().st_mode & 0o077 == 0, path


def test_no_password_is_in_the_words_of_any_process(whole: Any) -> None:
    """Of the containers and of ragops itself while it works, as `ps` shows them to everybody."""
    secrets, seen = _secrets(whole), set()
    process = whole.ragops.start("up", "--yes", cwd=whole.root, env=whole.env)
    while process.poll() is None:
        for one in psutil.process_iter(["cmdline"]):
            seen.add(" ".join(one.info["cmdline"] or ()))
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert any("redis-server" in words for words in seen)
    assert any("pulumi" in words for words in seen)
    assert [words for words in seen if _found(secrets, words)] == []
    assert _found(secrets, out + err) == []
