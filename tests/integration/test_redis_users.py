"""Users of Redis: those of ragops.yaml on a real Valkey, taken over without a restart, and those made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import redis
import yaml
from pydantic import ValidationError

from ragops.config import secrets
from ragops.config.paths import ProjectPaths
from ragops.errors import RagopsError
from ragops.runtimes.embedded.control import ProcessControl
from ragops.runtimes.embedded.processes import supervisor
from ragops.runtimes.embedded.processes.state import read_record
from ragops.runtimes.embedded.runtime import CAPABILITIES, process_spec
from ragops.services.contract import Endpoint, Status
from ragops.services.redis import RedisService, component, user_secret
from ragops.services.redis.backup import RedisBackup
from ragops.services.redis.health import probe
from ragops.services.redis.settings import RedisSettings
from ragops.services.redis.update import refuse_bad_users
from ragops.services.redis.users import APPLICATION_RULES, refusal
from ragops.services.spec import Layout
from tests.backup_helpers import dump
from tests.engines import Engine
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


class Place:
    """A Valkey of its own that is provisioned again and again, as `up` does it."""

    def __init__(self, root: Path) -> None:
        self.paths = ProjectPaths(root, "default")
        self.port = free_port()
        self.engine: Engine

    def up(self, **section: Any) -> Engine:
        settings = RedisSettings.model_validate({"port": self.port, **section})
        service = RedisService()
        values = secrets.ensure(self.paths.secrets, [*service.secrets(), *service.more_secrets(settings)])
        run_dir = self.paths.run_dir("redis")
        layout = Layout(
            str(run_dir / "config"), str(self.paths.data_dir("redis")), "127.0.0.1", hot_dir=str(run_dir / "hot")
        )
        runtime = SimpleNamespace(name="embedded", capabilities=CAPABILITIES, runtime_id=lambda _name: str(run_dir))
        spec = process_spec(component.service_spec(settings, values, layout), layout, str(run_dir), "")
        supervisor.ensure_running(spec)
        text = component.acl_text(settings, values, health_user=False)
        bare = component.endpoint(settings, runtime, layout, text)
        endpoint = Endpoint.from_dict(bare.to_dict(), values)
        service.prepare(endpoint)
        self.engine = Engine(endpoint, spec, ProcessControl(Path(endpoint.runtime_id)))
        return self.engine

    def pid(self) -> int:
        record = read_record(self.paths.run_dir("redis"))
        assert record is not None
        return record.pid


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    found.up()
    yield found
    found.engine.kill()


def may(client: redis.Redis, *command: str) -> bool:
    try:
        client.execute_command(*command)
    except redis.exceptions.NoPermissionError:
        return False
    return True


def test_a_user_of_ragops_yaml_is_taken_over_without_a_restart_and_stays(place: Place) -> None:
    before = place.pid()
    engine = place.up(users={"worker": {"role": "write", "keys": ["jobs:*"]}, "exporter": {"role": "monitor"}})
    assert place.pid() == before, "it was restarted"
    for _ in range(2):
        worker = engine.redis("user:worker")
        assert worker.set("jobs:1", "x")
        assert not may(worker, "SET", "other", "x")
        assert not may(worker, "CONFIG", "GET", "*")
        exporter = engine.redis("user:exporter")
        assert may(exporter, "CLIENT", "LIST")
        assert may(exporter, "INFO")
        assert not may(exporter, "GET", "jobs:1")
        engine.kill()
        engine.start()
    place.up()
    with pytest.raises(redis.exceptions.AuthenticationError):
        engine.redis("user:worker").ping()


def test_its_password_is_generated_and_shown_only_when_asked(place: Place) -> None:
    engine = place.up(users={"worker": {"role": "write", "keys": ["*"]}})
    password = secrets.load(place.paths.secrets)[user_secret("worker")]
    own = engine.endpoint.logins["application"].password.get_secret_value()
    shown, masked = (RedisService().outputs(engine.endpoint, word) for word in (own, "***"))
    assert shown["REDIS_WORKER_URL"] == f"redis://worker:{password}@127.0.0.1:{place.port}/0"
    assert shown["REDIS_WORKER_PASSWORD"] == password
    assert password not in str(masked)
    assert password not in str(engine.spec.command)


def test_what_the_application_may_do_is_what_the_docs_say(place: Place) -> None:
    application = place.engine.redis("application")
    for command in (
        ["FLUSHDB"],
        ["KEYS", "*"],
        ["INFO"],
        ["SELECT", "3"],
        ["SCAN", "0"],
        ["SORT", "l", "BY", "nosort"],
    ):
        assert may(application, *command), command
    refused = (
        ["FLUSHALL"], ["CLIENT", "LIST"], ["CLIENT", "KILL", "ID", "1"], ["CONFIG", "GET", "*"], ["ACL", "LIST"],
        ["SHUTDOWN", "NOSAVE"], ["REPLICAOF", "NO", "ONE"], ["BGSAVE"],
    )  # fmt: skip
    for command in refused:
        assert not may(application, *command), command
    words = Path("docs/configuration.md").read_text().partition("| `write` |")[2].partition("\n")[0]
    assert all(f"`{word}`" in words for word in ("FLUSHDB", "KEYS", "FLUSHALL", "CLIENT LIST"))
    assert "+flushdb" in APPLICATION_RULES


@pytest.mark.parametrize(
    "rights",
    [
        ["+@read", "~cache:*"],
        ["-@all", "+get", "+set", "~a:*", "%R~b:*", "&news:*"],
        ["+@all", "~*", "&*"],
        ["~only:keys", "(+get ~selected:*)"],
        [],
    ],
    ids=["category", "commands", "everything", "selector", "nothing"],
)
def test_a_user_made_by_hand_is_named_with_the_lines_that_keep_it(place: Place, rights: list[str]) -> None:
    with place.engine.redis() as client:
        client.execute_command("ACL", "SETUSER", "bob", "on", ">bobs-own-word", *rights)
        before = client.acl_getuser("bob")
    found = probe(place.engine.endpoint, 3)
    assert found.status is Status.DEGRADED
    (check,) = [item for item in found.checks if item.name == "users"]
    assert "bob is not in ragops.yaml" in check.detail
    assert "bobs-own-word" not in str(found)
    section = yaml.safe_load(check.hint.split("`")[1])["redis"]
    engine = place.up(**section)
    with engine.redis() as client:
        after = client.acl_getuser("bob")
    for part in ("commands", "keys", "channels", "selectors"):
        assert after[part] == before[part], part
    assert probe(engine.endpoint, 3).status is Status.OK


def test_a_server_with_other_users_than_the_file_says_so(place: Place) -> None:
    endpoint = place.engine.endpoint
    other = replace(endpoint, options={**endpoint.options, "users_file": "ragops-acl-other"})
    (check,) = [item for item in probe(other, 3).checks if item.name == "users"]
    assert (check.status, "ragops up" in check.hint) == (Status.DEGRADED, True)


def test_rules_that_the_server_does_not_take_are_refused_before_anything_is_changed(place: Place) -> None:
    settings = RedisSettings.model_validate({"users": {"bob": {"rules": ["+gett"]}}})
    with place.engine.redis() as client:
        assert "redis.users.bob" in refusal(client, settings)
        assert not [name for name in client.acl_users() if "check" in name]
        assert refusal(client, RedisSettings.model_validate({"users": {"bob": {"rules": ["+get"]}}})) == ""
    with pytest.raises(RagopsError) as caught:
        refuse_bad_users(place.engine.endpoint, settings)
    assert caught.value.code == "redis_user_refused"
    assert "gett" in caught.value.message


@pytest.mark.parametrize(
    ("users", "said"),
    [
        ({"rag": {"role": "admin"}}, "ragops' own"),
        ({"default": {}}, "ragops' own"),
        ({"a.b": {}, "a-b": {}}, "share the variables"),
        ({"x": {"role": "write"}}, "reaches no key"),
        ({"x": {"rules": [">secret"]}}, "pattern"),
        ({"x": {"rules": ["nopass"]}}, "pattern"),
        ({"x": {"rules": ["+@wrte"]}}, "pattern"),
        ({"x": {"rules": ["+get\nuser evil on nopass +@all"]}}, "pattern"),
        ({"x": {"keys": ["a b"]}}, "pattern"),
        ({"x y": {}}, "pattern"),
    ],
)
def test_what_cannot_be_is_refused_by_the_settings(users: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RedisSettings.model_validate({"users": users})


def test_a_recovery_point_names_the_users_that_it_does_not_hold(place: Place, tmp_path: Path) -> None:
    with place.engine.redis() as client:
        client.execute_command("ACL", "SETUSER", "bob", "on", ">bobs-own-word", "+get", "~*")
    (part,) = dump(RedisBackup(), place.engine.endpoint, place.engine.control, tmp_path / "dump")
    (note,) = part.notes
    assert "the user bob" in note
    assert '"bob"' in note
    assert "bobs-own-word" not in note
