"""Which recovery point a new machine is made from, and whether anybody vouches for it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ragops.errors import IntegrityError, MissingError, RagopsError, UsageError
from ragops.operations.backup.keygen import keygen
from ragops.operations.restore.locate import (
    RecoverRequest,
    RecoverState,
    command_of,
    keep_progress,
    locate_point,
    older_good,
)
from tests.backup_helpers import open_repositories, put_point

if TYPE_CHECKING:
    from ragops.recovery.repositories import Repositories

OLD, NEW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def repos(tmp_path: Path) -> Repositories:
    """A repository with two recovery points."""
    repos = open_repositories(tmp_path / "old")
    put_point(repos.primary, repos.signing_key(), sequence=1, created=OLD)
    put_point(repos.primary, repos.signing_key(), sequence=2, created=NEW)
    return repos


def request(repos: Repositories, tmp_path: Path, **named: Any) -> RecoverRequest:
    folder = tmp_path / "anew"
    folder.mkdir(exist_ok=True)
    return RecoverRequest(repos.primary.name, folder, tmp_path, **named)


def failure(wanted: RecoverRequest, kind: type[RagopsError]) -> RagopsError:
    with pytest.raises(kind) as caught:
        locate_point(wanted)
    return caught.value


def test_the_newest_is_taken_and_nobody_vouches_for_it(repos: Repositories, tmp_path: Path) -> None:
    found = locate_point(request(repos, tmp_path))
    assert found.point.manifest.created == NEW
    assert not found.vouched
    assert found.signer == repos.signing_key().public
    assert found.repos.trusted_keys() == {found.signer}
    assert list((tmp_path / "anew").iterdir()) == [], "looking writes nothing"


def test_a_key_that_is_named_vouches(repos: Repositories, tmp_path: Path) -> None:
    key = repos.signing_key().public
    assert locate_point(request(repos, tmp_path, verify_key=key)).vouched
    keygen(tmp_path / "id.txt", key)
    assert locate_point(request(repos, tmp_path, identity=tmp_path / "id.txt")).vouched


def test_a_key_that_is_named_and_is_another_refuses(repos: Repositories, tmp_path: Path) -> None:
    other = open_repositories(tmp_path / "other").signing_key().public
    error = failure(request(repos, tmp_path, verify_key=other), IntegrityError)
    assert error.code == "signer_unknown"
    assert repos.signing_key().public in error.message
    keygen(tmp_path / "id.txt", other)
    assert failure(request(repos, tmp_path, identity=tmp_path / "id.txt"), IntegrityError).code == "signer_unknown"
    named = request(repos, tmp_path, identity=tmp_path / "id.txt", verify_key=repos.signing_key().public)
    assert locate_point(named).vouched, "what is typed goes before what a file says"


def test_where_there_is_none_it_says_what_there_is(repos: Repositories, tmp_path: Path) -> None:
    error = failure(request(repos, tmp_path, environment="staging"), MissingError)
    assert (error.code, "default" in error.hint) == ("no_recovery_point", True)
    nowhere = RecoverRequest("nowhere", tmp_path / "anew", tmp_path)
    assert "empty" in failure(nowhere, MissingError).hint
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_is_in_use_is_left_alone(repos: Repositories, tmp_path: Path) -> None:
    wanted = request(repos, tmp_path)
    wanted.paths.secrets.parent.mkdir(parents=True)
    wanted.paths.secrets.write_text("{}")
    assert failure(wanted, UsageError).code == "already_initialised"


def test_an_interrupted_run_is_gone_on_with_whatever_came_after_it(repos: Repositories, tmp_path: Path) -> None:
    first = locate_point(request(repos, tmp_path, reference="20260101"))
    keep_progress(first.request.paths, RecoverState(first.point.id, settled=True))
    (tmp_path / "anew" / "ragops.yaml").write_text("name: rag\n")
    again = locate_point(request(repos, tmp_path))
    assert again.point.id == first.point.id
    assert again.earlier == RecoverState(first.point.id, settled=True)
    error = failure(request(repos, tmp_path, reference="20260102"), UsageError)
    assert (error.code, first.point.id in error.hint) == ("other_recovery", True)


def test_a_point_that_could_not_be_restored_may_be_left_for_another(repos: Repositories, tmp_path: Path) -> None:
    newest = locate_point(request(repos, tmp_path))
    keep_progress(newest.request.paths, RecoverState(newest.point.id, settled=True, failed=True))
    older = older_good(newest)
    assert older < newest.point.id
    assert locate_point(request(repos, tmp_path)).point.id == newest.point.id, "the same again goes on"
    assert locate_point(request(repos, tmp_path, reference=older)).point.id == older


def test_the_command_that_goes_on_is_the_one_that_was_given(tmp_path: Path) -> None:
    asked = RecoverRequest("s3://b/rag", Path("a b"), tmp_path, "live", identity=Path("id.txt"), verify_key="ed25519:x")
    said = "ragops --env live recover s3://b/rag --into 'a b' --identity id.txt --verify-key ed25519:x"
    assert command_of(asked) == said
    assert command_of(asked, "20260101") == f"{said} --point 20260101"


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_folder_inside_a_repository_is_told_from_one(repos: Repositories, tmp_path: Path, slash: str) -> None:
    inner = RecoverRequest(f"old/backups/default{slash}", tmp_path / "anew", tmp_path)
    error = failure(inner, UsageError)
    assert (error.code, error.hint) == ("not_a_repository", "`ragops recover old/backups`")
    ident = repos.primary.get("latest").id
    single = RecoverRequest(f"{tmp_path}/old/backups/default/{ident}{slash}", tmp_path / "anew", tmp_path)
    error = failure(single, UsageError)
    assert error.code == "not_a_repository"
    assert error.hint == f"`ragops recover {tmp_path}/old/backups --point {ident}`"
