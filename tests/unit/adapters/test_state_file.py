"""State files: written whole, and as good as missing if they are damaged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from ragops.adapters.state_file import StateFile

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Run:
    """A record with defaults, as a new version adds them."""

    name: str
    sizes: tuple[int, ...]
    note: str = ""


def test_what_was_written_is_read_and_only_its_owner_may(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "below" / "run.json", Run)
    assert file.read() is None
    file.write(Run("redis", (1, 2)))
    assert file.read() == Run("redis", (1, 2))
    assert file.path.stat().st_mode & 0o777 == 0o600
    file.remove()
    file.remove()
    assert file.read() is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"name": "redis"}',
        b'{"name": "redis", "sizes": "many"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_counts_as_none_and_is_replaced(tmp_path: Path, content: bytes) -> None:
    file = StateFile(tmp_path / "run.json", Run)
    file.path.write_bytes(content)
    assert file.read() is None
    with pytest.raises((ValueError, RecursionError)):
        file.read_strictly()
    file.write(Run("redis", ()))
    assert file.read() == Run("redis", ())


def test_keys_of_a_newer_version_are_ignored_and_those_of_an_older_one_filled(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "run.json", Run)
    file.path.write_text(json.dumps({"name": "redis", "sizes": [3], "colour": "red"}))
    assert file.read() == Run("redis", (3,), "")


def test_a_folder_in_its_place_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    assert StateFile(tmp_path / "run.json", Run).read() is None


def test_a_mapping_of_records(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "runs.json", dict[str, Run])
    file.write({"one": Run("redis", (1,))})
    assert file.read() == {"one": Run("redis", (1,))}
