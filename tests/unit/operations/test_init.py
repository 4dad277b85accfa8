"""The files of a new project."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ragops.operations.lifecycle.init import init

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = "collections-config.json"


def test_a_sample_of_collections_is_written_and_named(tmp_path: Path) -> None:
    written = init(tmp_path, "new", "embedded").written
    assert str(tmp_path / SAMPLE) in written
    assert [one["name"] for one in json.loads((tmp_path / SAMPLE).read_text())["collections"]] == ["docs"]


def test_collections_that_are_there_are_kept(tmp_path: Path) -> None:
    (tmp_path / SAMPLE).write_text("mine")
    assert str(tmp_path / SAMPLE) not in init(tmp_path, "new", "embedded").written
    assert (tmp_path / SAMPLE).read_text() == "mine"
