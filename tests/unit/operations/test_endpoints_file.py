"""endpoints.json: what is wrong with it is told from a secret that is lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ragops.config.load import load
from ragops.errors import MissingError, RagopsError
from ragops.operations.lifecycle.init import init
from ragops.operations.session import Session
from ragops.services.contract import Endpoint, Login

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD = Endpoint(
    "redis", "valkey", "9.1", "embedded", "127.0.0.1", 6379, logins={"operator": Login("ragops", "redis_operator")}
).to_dict()


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    init(tmp_path / "project", "demo", "embedded")
    monkeypatch.chdir(tmp_path / "project")
    return Session(load(None, None), "ragops status", lambda _text: None)


def written(session: Session, values: Any) -> Session:
    path = session.project.paths.endpoints
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
    return session


def test_a_good_one_is_read(session: Session) -> None:
    assert written(session, {"redis": GOOD}).endpoint("redis").port == 6379


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda values: {key: value for key, value in values.items() if key != name}


@pytest.mark.parametrize(
    "change",
    [
        *(without(name) for name in ("logins", "capabilities", "port", "host")),
        lambda values: {**values, "capabilities": ["can_fly"]},  # of a later version
        lambda values: {**values, "wings": 2},
        lambda values: {**values, "logins": {"operator": {"user": "ragops"}}},
        lambda values: {**values, "port": "no number"},
        lambda _values: [],
        lambda _values: None,
    ],
)
def test_a_damaged_one_is_not_a_lost_secret(session: Session, change: Callable[[dict[str, Any]], Any]) -> None:
    with pytest.raises(RagopsError) as found:
        written(session, {"redis": change(GOOD)}).endpoints()
    assert found.value.code == "endpoints_unreadable"
    assert "`ragops up`" in found.value.hint


@pytest.mark.parametrize("content", [[], "text", 5, None])
def test_a_document_of_another_kind(session: Session, content: Any) -> None:
    with pytest.raises(RagopsError) as found:
        written(session, content).endpoint("redis")
    assert found.value.code in ("endpoints_unreadable", "not_provisioned")


def test_a_lost_secret_is_one(session: Session) -> None:
    session.project.paths.secrets.write_text("{}")
    with pytest.raises(MissingError, match="redis_operator") as found:
        written(session, {"redis": GOOD}).endpoints()
    assert found.value.code == "secret_missing"
