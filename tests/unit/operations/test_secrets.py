"""Secrets that are lost, made up for a look, or changed by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ragops.config.load import load
from ragops.errors import ExitCode, MissingError
from ragops.operations.session import Session

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def session(tmp_path: Path) -> Session:
    (tmp_path / "ragops.yaml").write_text("name: test\n")
    return Session(load(tmp_path / "ragops.yaml", None), "up", lambda _: None)


def test_a_look_makes_secrets_up_and_writes_none(session: Session) -> None:
    path = session.project.paths.secrets
    assert session.secrets()["timescaledb_owner"]
    assert not path.exists()
    path.parent.mkdir(parents=True)
    path.write_text('{"timescaledb_owner": "kept"}')
    before = path.stat().st_mtime_ns
    assert session.secrets()["timescaledb_owner"] == "kept"
    assert (path.stat().st_mtime_ns, path.read_text()) == (before, '{"timescaledb_owner": "kept"}')


@pytest.mark.parametrize("service", ["timescaledb", "redis", "qdrant"])
@pytest.mark.parametrize("content", [None, "{}"])
def test_a_lost_secret_of_data_that_exist_is_not_invented_anew(
    session: Session, service: str, content: str | None
) -> None:
    paths = session.project.paths
    paths.data_dir(service).mkdir(parents=True)
    if content is not None:
        paths.secrets.parent.mkdir(parents=True)
        paths.secrets.write_text(content)
    with pytest.raises(MissingError, match=f"the data of {service} are locked") as caught:
        session.make_secrets()
    assert (caught.value.code, caught.value.exit_code) == ("secret_missing", ExitCode.MISSING)
    assert str(paths.secrets) in caught.value.hint
    assert "ragops down --purge-data" in caught.value.hint
    assert (paths.secrets.read_text() if content is not None else None) == content


def test_services_without_data_get_theirs(session: Session) -> None:
    paths = session.project.paths
    made = session.make_secrets()
    for service in ("timescaledb", "redis", "api", "gateway"):
        paths.data_dir(service).mkdir(parents=True)
    kept = {name: value for name, value in made.items() if name.startswith(("timescaledb", "redis"))}
    paths.secrets.write_text(json.dumps(kept))
    again = session.make_secrets()
    assert again.keys() == made.keys()
    assert kept.items() <= again.items()
    assert json.loads(paths.secrets.read_text()) == again
