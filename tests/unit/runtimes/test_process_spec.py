"""The ProcessSpec through Pulumi and back, and what makes a restart necessary."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from ragops.runtimes.embedded.processes.spec import ProcessSpec
from ragops.runtimes.embedded.runtime import process_spec
from ragops.services.spec import (
    ConfigFile,
    ExecCheck,
    HealthCheck,
    HttpCheck,
    InitStep,
    Layout,
    ServiceSpec,
    TcpCheck,
)

SPEC = ProcessSpec(
    service="shop",
    version="1.2",
    command=("/bin/shop", "--port", "7000"),
    files=(ConfigFile("shop.conf", "open = yes\n"), ConfigFile("key", "hush\n", secret=True)),
    environment={"A": "b"},
    ports={"shop": 7000},
    health=TcpCheck(7000, "PING\r\n\x00\xff", ("+PONG", "-NOAUTH")),
    run_dir="/p/run",
    data_dir="/p/data",
    user="nobody",
    init=InitStep(("/bin/init", "{data}"), "WHOLE"),
    lock_files=("shop.pid",),
    stop_signal="SIGINT",
    stop_grace=7.5,
    start_timeout=9.0,
)


def as_pulumi_returns(props: dict[str, Any]) -> dict[str, Any]:
    """JSON with every number a float: protobuf knows no integers."""
    return json.loads(json.dumps(props), parse_int=float)


@pytest.mark.parametrize(
    "health", [SPEC.health, TcpCheck(7000), HttpCheck(7000, "/ready"), ExecCheck(("/bin/true", "x"))]
)
def test_it_comes_back_the_same(health: HealthCheck) -> None:
    spec = replace(SPEC, health=health)
    found = ProcessSpec.from_props(as_pulumi_returns(spec.to_props()))
    assert found == spec
    assert found.digest() == spec.digest()
    assert isinstance(found.ports["shop"], int)
    assert isinstance(getattr(found.health, "port", 0), int)


def test_without_an_init_step_it_comes_back_without() -> None:
    assert ProcessSpec.from_props(as_pulumi_returns(replace(SPEC, init=None).to_props())).init is None


def test_secret_contents_stand_apart() -> None:
    props = SPEC.to_props()
    assert props["secret_files"] == {"key": "hush\n"}
    assert "hush" not in json.dumps({**props, "secret_files": {}})


RESTART = {
    "version": "1.3",
    "command": ("/bin/shop", "--port", "7001"),
    "files": (ConfigFile("shop.conf", "open = no\n"), SPEC.files[1]),
    "environment": {},
    "ports": {"shop": 7001},
    "data_dir": "/elsewhere",
    "user": "",
}
NO_RESTART = {
    "health": TcpCheck(7000),
    "run_dir": "/q/run",
    "init": None,
    "lock_files": (),
    "stop_signal": "SIGTERM",
    "stop_grace": 1.0,
    "start_timeout": 1.0,
    "service": "other",
    "guard": "exit 1",
    "hot": (ConfigFile("users", "hush\n", secret=True),),
}


def test_every_field_is_known_to_this_test() -> None:
    assert {item.name for item in fields(ProcessSpec)} == {*RESTART, *NO_RESTART}


@pytest.mark.parametrize("name", RESTART)
def test_these_make_a_restart_necessary(name: str) -> None:
    assert replace(SPEC, **{name: RESTART[name]}).digest() != SPEC.digest()


@pytest.mark.parametrize("name", NO_RESTART)
def test_these_do_not(name: str) -> None:
    assert replace(SPEC, **{name: NO_RESTART[name]}).digest() == SPEC.digest()


def test_a_changed_secret_makes_a_restart_necessary() -> None:
    changed = replace(SPEC, files=(SPEC.files[0], ConfigFile("key", "other\n", secret=True)))
    assert changed.digest() != SPEC.digest()


def test_a_digest_depends_on_nothing_but_the_values() -> None:
    same = replace(SPEC, environment=dict(reversed({"A": "b"}.items())), files=SPEC.files)
    assert same.digest() == SPEC.digest()
    assert "hush" not in SPEC.digest()


def test_an_upgrade_restarts_what_runs_the_code_of_ragops(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout("/p/config", "/p/data", "127.0.0.1")
    code = ("python", "-m", "ragops.api", "api.json")
    spec = ServiceSpec(service="api", version="1", command=code, files=(), ports={}, health=TcpCheck(7000))
    before = process_spec(spec, layout, "/p/run", "")
    assert process_spec(spec, layout, "/p/run", "") == before
    monkeypatch.setattr("ragops.runtimes.embedded.runtime.source_digest", lambda: "another")
    assert process_spec(spec, layout, "/p/run", "").environment != before.environment
    engine = replace(spec, command=("valkey-server", "--port", "7000"))
    assert "RAGOPS_SOURCE" not in process_spec(engine, layout, "/p/run", "").environment
