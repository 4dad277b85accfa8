"""From ragops.yaml to the repositories and keys of an environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ragops.config.load import load
from ragops.errors import UsageError
from ragops.operations.repositories import findings, open_repositories
from ragops.services.contract import Status

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.recovery.repositories import Repositories


def read(folder: Path, text: str, environment: str | None = None, overlay: str = "") -> Repositories:
    (folder / "ragops.yaml").write_text(f"name: rag\nbackup: {text}\n")
    if environment:
        (folder / f"ragops.{environment}.yaml").write_text(overlay)
    return open_repositories(load(folder / "ragops.yaml", environment))


def test_all_of_it_lies_in_the_project_if_nothing_else_is_said(tmp_path: Path) -> None:
    repos = read(tmp_path, "{}")
    (repository,) = repos.members
    assert repository.name == str(tmp_path / "backups")
    assert repository.environment == "default"
    assert repos.staging == tmp_path / ".ragops" / "staging" / "default"
    assert repos.signing_key_file == tmp_path / ".ragops" / "secrets" / "signing.pem"
    assert (repos.recipients, repos.verify_keys, repos.identity_file) == ((), (), None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ragops.yaml"], "looking makes nothing"


def test_paths_are_of_the_project_and_the_order_is_that_of_the_file(tmp_path: Path) -> None:
    repos = read(tmp_path, "{repository: one, copies: [/two, 'file:///three'], identity_file: keys/id, staging: big}")
    assert [item.name for item in repos.members] == [str(tmp_path / "one"), "/two", "/three"]
    assert repos.identity_file == tmp_path / "keys" / "id"
    assert (
        open_repositories(load(tmp_path / "ragops.yaml", None), tmp_path / "other").identity_file == tmp_path / "other"
    )


@pytest.mark.parametrize("staging", ["''", "big", "/big"])
def test_environments_share_no_room_on_the_way(tmp_path: Path, staging: str) -> None:
    """Notes on what killed runs left on servers lie there too: one environment must not act on another's."""
    text = f"{{staging: {staging}}}"
    one, other = read(tmp_path, text), read(tmp_path, text, "prod")
    assert one.staging != other.staging
    assert one.staging.parent == other.staging.parent
    assert one.journal_path("qdrant") != other.journal_path("qdrant")


def test_doctor_looks_at_every_repository_and_at_the_room_on_the_way(tmp_path: Path) -> None:
    read(tmp_path, "{copies: [second]}")
    (tmp_path / "second").write_text("a file in its place")
    found = findings(load(tmp_path / "ragops.yaml", None))
    assert [check.name for check in found] == ["repository", "repository", "staging"]
    assert str(tmp_path / "backups") in found[0].detail
    assert not list((tmp_path / "backups").rglob("*doctor*")), "what was written to try is gone"


def test_an_options_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nosuch"):
        read(tmp_path, "{repository: {url: 's3://x/y', options_file: nosuch.yaml}}")
    (check,) = findings(load(tmp_path / "ragops.yaml", None))
    assert check.status is Status.DEGRADED
