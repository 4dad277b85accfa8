"""A rotation of secrets: at every instant consumers send what servers take, whichever step it is killed at."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from ragops.config import secrets as store
from ragops.errors import RagopsError, UsageError
from ragops.operations.lifecycle import secrets as operation
from ragops.operations.session import Session
from ragops.runtimes.embedded.facts import FACTS as EMBEDDED
from ragops.services.contract import Login
from ragops.services.secret_names import NEXT, PREVIOUS, UNTIL, drop_expired, values
from ragops.services.timescaledb import APPLICATION_SECRET, OWNER_SECRET
from tests.unit.operations.secrets_project import project_in

if TYPE_CHECKING:
    from pathlib import Path


class KilledError(Exception):
    """What stands for SIGKILL."""


class World:
    """Servers and consumers as the last `up` left them, and PostgreSQL's passwords, which are its own."""

    def __init__(self, folder: Path) -> None:
        self.project = project_in(folder)
        self.path = self.project.paths.secrets
        names = operation.secret_names(self.project.settings)
        self.first = store.ensure(self.path, names)
        self.database = {name: self.first[name] for name in (OWNER_SECRET, APPLICATION_SECRET)}
        self.applied = dict(self.first)
        self.sent = dict(self.first)
        self.steps_left = 10**6
        self.session: Any = SimpleNamespace(
            project=self.project, changing=contextlib.nullcontext, endpoint=self.endpoint,
            endpoints=dict, host=SimpleNamespace(facts=EMBEDDED),
        )  # fmt: skip

    def endpoint(self, _service: str) -> Any:
        known = store.load(self.path)
        logins = {
            "operator": Login("rag_owner", OWNER_SECRET, SecretStr(known[OWNER_SECRET])),
            "application": Login("rag_app", APPLICATION_SECRET, SecretStr(known[APPLICATION_SECRET])),
        }
        return SimpleNamespace(logins=logins)

    def step(self) -> None:
        """One thing that a process may be killed before."""
        self.steps_left -= 1
        if self.steps_left < 0:
            raise KilledError

    def provision(self, *_arguments: Any) -> None:
        self.step()
        known = store.load(self.path)
        self.log_in(self.endpoint(""))  # `up` refuses a database that does not let it in
        for name in self.first:
            if name not in self.database:
                assert self.sent[name] in values(known, name), f"{name}: what consumers send is refused"
        self.applied = known
        self.step()
        self.database[APPLICATION_SECRET] = known[APPLICATION_SECRET]  # as `prepare` does it
        for name in self.first:
            self.sent[name] = known[name]
        self.check()

    def check(self) -> None:
        for name in self.first:
            taken = [self.database[name]] if name in self.database else values(self.applied, name)
            consumer = values(self.applied, name) if name == APPLICATION_SECRET else (self.sent[name],)
            if name != OWNER_SECRET:
                assert set(consumer) & set(taken), f"{name}: nobody gets in"

    def change(self, endpoint: Any, new: Login) -> None:
        self.step()
        self.log_in(endpoint)
        self.database[new.secret] = new.password.get_secret_value()
        self.check()
        self.step()

    def log_in(self, endpoint: Any, *_named: Any) -> Any:
        if endpoint.logins["operator"].password.get_secret_value() != self.database[OWNER_SECRET]:
            raise RagopsError("database_login_refused", "password authentication failed")
        return SimpleNamespace(close=lambda: None)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    found = World(tmp_path)
    monkeypatch.setattr(operation, "provision", found.provision)
    monkeypatch.setattr(operation, "change_password", found.change)
    monkeypatch.setattr(operation, "log_in", found.log_in)
    monkeypatch.setattr(operation, "is_password_refused", lambda error: error.code == "database_login_refused")
    monkeypatch.setattr(operation.cancellation, "sleep", lambda _seconds: None)
    return found


def rotate(world: World, *names: str, every: bool = False, resume: bool = False, grace: int = 0) -> Any:
    plan = operation.plan_rotation(world.session, names, every=every, resume=resume)
    return operation.rotate(world.session, plan, timedelta(minutes=grace))


def test_every_value_is_new_and_the_old_ones_are_gone(world: World) -> None:
    assert set(rotate(world, every=True).names) == set(world.first)
    after = store.load(world.path)
    assert after.keys() == world.first.keys()
    assert not set(after.values()) & set(world.first.values())
    assert world.applied == after
    assert world.database == {name: after[name] for name in world.database}


def test_only_what_is_named_changes(world: World) -> None:
    rotate(world, "redis_application")
    after = store.load(world.path)
    assert [name for name in after if after[name] != world.first[name]] == ["redis_application"]


@pytest.mark.parametrize("steps", range(10))
def test_killed_at_any_step_the_next_run_completes_it(world: World, steps: int) -> None:
    world.steps_left = steps
    with contextlib.suppress(KilledError):
        rotate(world, every=True)
        pytest.skip(f"it has fewer than {steps} steps")
    world.steps_left = 10**6
    world.check()
    between = store.load(world.path)
    begun = any(key.endswith((NEXT, PREVIOUS)) for key in between)
    if begun:
        assert all("--resume" in line.state for line in operation.list_secrets(world.project) if line.state)
    rotate(world, resume=begun, every=not begun)
    after = store.load(world.path)
    assert after.keys() == world.first.keys()
    assert not set(after.values()) & set(world.first.values())
    assert world.applied == after
    if begun:
        new = {between.get(name + NEXT, between[name]) for name in world.first}
        assert set(after.values()) == new, "what was begun is completed, not begun again"


def test_with_a_grace_time_the_old_value_is_taken_until_it_is_over(world: World) -> None:
    result = rotate(world, "api_service_token_ingest", grace=60)
    assert result.until > datetime.now(tz=UTC)
    known = store.load(world.path)
    assert values(known, "api_service_token_ingest")[1] == world.first["api_service_token_ingest"]
    valid = drop_expired(known, datetime.now(tz=UTC) + timedelta(minutes=61))
    assert valid.keys() == world.first.keys()
    session = Session(world.project, "test", lambda _text: None)
    assert session.secrets() == known, "a plan is empty meanwhile"
    known["api_service_token_ingest" + UNTIL] = "2001-01-01T00:00:00+00:00"
    store.save(world.path, known)
    assert session.secrets().keys() == session.make_secrets().keys() == world.first.keys()
    assert store.load(world.path).keys() == world.first.keys()


def test_a_list_has_everything_but_values(world: World) -> None:
    lines = operation.list_secrets(world.project)
    assert {line.name for line in lines} >= set(world.first)
    assert not [value for value in world.first.values() if value in repr(lines)]
    assert all(line.uses and line.created and not line.at_least for line in lines if line.name in world.first)
    (world.path.with_name("default.ages.json")).unlink()
    assert all(line.created and line.at_least for line in operation.list_secrets(world.project))


def test_what_cannot_be_rotated_is_refused(world: World) -> None:
    with pytest.raises(UsageError, match="no such secret") as caught:
        rotate(world, "nope")
    assert "redis_application" in caught.value.hint
    with pytest.raises(UsageError, match="no secret is named"):
        rotate(world)
    with pytest.raises(UsageError, match="no rotation was interrupted"):
        rotate(world, resume=True)


def test_files_with_secrets_are_private(world: World) -> None:
    rotate(world, every=True)
    for path in world.path.parent.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path
    noted = world.path.with_name("default.ages.json").read_text()
    assert not [value for value in store.load(world.path).values() if value in noted]
