"""What `latest` is if a newer recovery point cannot be read, or was written by a newer ragops."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from ragops.config.load import load
from ragops.operations.repositories import open_repositories
from ragops.recovery.manifest import FILE_NAME, FORMAT
from ragops.recovery.signing import sign
from tests.backup_helpers import folder_of, put_point

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.recovery.point import RecoveryPoint


@pytest.fixture
def project(workspace: Path, ragops: Any) -> Path:
    assert ragops("init", ".", "--name", "test", cwd=workspace).code == 0
    return workspace


@pytest.fixture
def points(project: Path) -> tuple[RecoveryPoint, RecoveryPoint]:
    repos = open_repositories(load(project / "ragops.yaml", None))
    older, newer = (
        put_point(
            repos.primary,
            repos.signing_key(),
            sequence=number,
            created=datetime(2026, 3, number, tzinfo=UTC),
        )
        for number in (1, 2)
    )
    return older, newer


def test_no_older_one_is_taken_by_surprise_and_both_are_named(
    project: Path, points: tuple[RecoveryPoint, RecoveryPoint], ragops: Any
) -> None:
    older, newer = points
    (folder_of(newer) / FILE_NAME).write_bytes(b"{")
    for command in ("backup show", "backup verify", "backup keep", "restore --dry-run", "backup delete latest --yes"):
        done = ragops(*command.split(), "--json", cwd=project)
        assert done.code == 6, command
        assert older.id in done.error["message"]
        for way in (f"ragops backup copy {newer.id}", f"name {older.id} instead", f"ragops backup delete {newer.id}"):
            assert way in done.error["hint"], command
    assert ragops("backup", "verify", older.id, cwd=project).code == 0
    assert ragops("backup", "show", older.id, cwd=project).out.startswith(older.id)
    assert older.id in ragops("backup", "list", cwd=project).out


def test_one_of_a_newer_format_is_refused_with_the_way_to_a_newer_ragops(
    project: Path, points: tuple[RecoveryPoint, RecoveryPoint], ragops: Any
) -> None:
    older, newer = points
    repos = open_repositories(load(project / "ragops.yaml", None))
    path = folder_of(newer) / FILE_NAME
    values = json.loads(path.read_bytes().rpartition(b"\n")[0].rpartition(b"\n")[0])
    for changed in ({"format": FORMAT + 1, "of_tomorrow": 1}, {"format": FORMAT + 1, "parts": "elsewhere"}):
        body = json.dumps({**values, **changed}).encode() + b"\n"
        path.write_bytes(body + json.dumps(sign(repos.signing_key(), body).to_dict()).encode() + b"\n")
        for command in ("backup show", "backup verify", "restore --dry-run"):
            done = ragops(*command.split(), newer.id, "--json", cwd=project)
            assert (done.code, done.error["code"]) == (7, "manifest_newer"), command
            assert "a newer ragops wrote it" in done.error["message"]
            assert done.error["hint"].startswith("upgrade ragops: `")
    listed = ragops("backup", "list", cwd=project)
    assert older.id in listed.out
    assert newer.id in listed.err
