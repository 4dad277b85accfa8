"""What recovery points are written with and read by."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pyrage
import pytest

from ragops.errors import MissingError, RagopsError, UsageError
from tests.backup_helpers import open_repositories, put_point

if TYPE_CHECKING:
    from pathlib import Path


def test_repositories_by_number_and_name(tmp_path: Path) -> None:
    repos = open_repositories(tmp_path, tmp_path / "second")
    first, second = repos.members
    for wanted in (None, "1", str(tmp_path / "backups"), f"{tmp_path / 'backups'}/"):
        assert repos.repository(wanted) is first
    for wanted in ("2", str(tmp_path / "second")):
        assert repos.repository(wanted) is second
    for wanted in ("0", "3", "-1", "", "second"):
        with pytest.raises(UsageError) as caught:
            repos.repository(wanted)
        assert caught.value.code == "no_such_repository"
        assert f"2 ({tmp_path / 'second'})" in caught.value.hint
    assert repos.without_copies().members == (first,)
    assert repos.copies == (second,)


def test_its_own_key_and_the_pinned_ones_are_trusted(tmp_path: Path) -> None:
    repos = open_repositories(tmp_path, verify_keys=("ed25519:other",))
    assert repos.trusted_keys() == {"ed25519:other"}
    assert not repos.signing_key_file.exists(), "looking makes no key"
    key = repos.signing_key()
    assert repos.trusted_keys() == {"ed25519:other", key.public}
    assert repos.signing_key().public == key.public


def test_an_identity_is_asked_for_only_where_it_is_needed(tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    repos = open_repositories(tmp_path)
    plain = put_point(repos.primary, repos.signing_key())
    assert repos.load_identities(plain) == ()
    recipients = (str(identity.to_public()),)
    encrypted = put_point(repos.primary, repos.signing_key(), sequence=2, recipients=recipients)
    with pytest.raises(MissingError) as caught:
        repos.load_identities(encrypted)
    assert caught.value.code == "identity_missing"
    assert "--identity FILE" in caught.value.hint
    (tmp_path / "identity").write_text(f"{identity}\n")
    (found,) = open_repositories(tmp_path, identity_file=tmp_path / "identity").load_identities(encrypted)
    assert str(found) == str(identity)


def test_what_is_on_its_way_is_ours_alone_and_gone_at_the_end(tmp_path: Path) -> None:
    repos = open_repositories(tmp_path)
    with repos.staging_folder() as folder, repos.staging_folder() as other:
        assert folder != other
        for path in (folder, repos.staging):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        (folder / "redis").mkdir()
        (folder / "redis" / "dump.rdb").write_bytes(b"x")
    assert list(repos.staging.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), repos.staging_folder() as folder:
        (folder / "x").write_bytes(b"x")
        raise KeyboardInterrupt
    assert list(repos.staging.iterdir()) == []


def test_failures_of_the_disk_are_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(MissingError) as caught, open_repositories(tmp_path).staging_folder():
        raise OSError(28, "No space left on device")
    assert caught.value.code == "disk_full"
    assert str(tmp_path / "staging") in caught.value.message
    (tmp_path / "staging").rmdir()
    (tmp_path / "staging").write_text("a file in its place")
    with pytest.raises(RagopsError, match="staging"), open_repositories(tmp_path).staging_folder():
        raise AssertionError


def test_what_dead_runs_left_is_cleared_and_what_living_ones_use_is_not(tmp_path: Path) -> None:
    repos = open_repositories(tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait(30)
    left = repos.staging / f"{dead.pid}-0a1b2c3d" / "redis"
    used = repos.staging / f"{os.getppid()}-0a1b2c3d"
    notes = repos.journal_path("qdrant")
    left.mkdir(parents=True)
    used.mkdir()
    notes.parent.mkdir()
    (left / "dump.rdb").write_bytes(b"a whole copy of the data")
    notes.write_text("[]")
    (repos.staging / "mine").mkdir()
    with repos.staging_folder():
        assert not left.parent.exists()
    assert used.exists()
    assert notes.exists(), "it outlives a killed run"
    assert (repos.staging / "mine").exists()
