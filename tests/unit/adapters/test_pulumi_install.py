from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING

import pytest

from ragops.adapters.pulumi.install import (
    ENGINE_VERSION,
    Engine,
    cache_dir,
    find,
    installed_dir,
    require,
)
from ragops.errors import ExitCode, MissingError
from tests.folders import make_program

if TYPE_CHECKING:
    from pathlib import Path


def test_the_pinned_engine_is_the_version_of_the_sdk() -> None:
    assert installed_version("pulumi") == ENGINE_VERSION


def test_the_variable_comes_before_path_and_path_before_the_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = make_program(tmp_path / "own", "v3.259.7")
    on_path = make_program(tmp_path / "bin/pulumi", "v3.259.1")
    cached = make_program(installed_dir() / "bin/pulumi", f"v{ENGINE_VERSION}")
    monkeypatch.setenv("RAGOPS_PULUMI", str(own))
    assert find() == Engine(own, "3.259.7", "RAGOPS_PULUMI")
    monkeypatch.delenv("RAGOPS_PULUMI")
    assert find() == Engine(on_path, "3.259.1", "PATH")
    on_path.unlink()
    assert find() == require() == Engine(cached, ENGINE_VERSION, "cache")


def test_nothing_anywhere_is_none_and_require_says_every_cure(cache: Path) -> None:
    assert find() is None
    with pytest.raises(MissingError) as caught:
        require()
    assert (caught.value.code, caught.value.exit_code) == ("engine_missing", ExitCode.MISSING)
    for cure in ("`ragops engine install`", "--from-source", "RAGOPS_PULUMI"):
        assert cure in caught.value.hint


@pytest.mark.parametrize("other", ["3.258.0", "4.259.0", "3.25.0", "nonsense"])
def test_another_version_on_path_is_left_alone_with_a_note(cache: Path, tmp_path: Path, other: str) -> None:
    on_path = make_program(tmp_path / "bin/pulumi", f"v{other}")
    notes: list[str] = []
    assert find(notes.append) is None
    assert len(notes) == 1
    assert str(on_path) in notes[0]
    assert ENGINE_VERSION in notes[0]


@pytest.mark.parametrize("fault", ["absent", "folder", "not executable", "fails", "other version"])
def test_a_wrong_variable_is_an_error_even_where_the_cache_has_an_engine(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    make_program(installed_dir() / "bin/pulumi", f"v{ENGINE_VERSION}")
    path = tmp_path / "own"
    if fault == "folder":
        path.mkdir()
    elif fault != "absent":
        make_program(path, "v3.1.0" if fault == "other version" else f"v{ENGINE_VERSION}")
    if fault == "not executable":
        path.chmod(0o644)
    if fault == "fails":
        path.write_text("#!/bin/sh\nexit 3\n")
    monkeypatch.setenv("RAGOPS_PULUMI", str(path))
    with pytest.raises(MissingError) as caught:
        find()
    assert (caught.value.code, caught.value.exit_code) == ("engine_wrong", ExitCode.MISSING)
    assert str(path) in caught.value.message
    assert "unset RAGOPS_PULUMI" in caught.value.hint


def test_the_cache_follows_its_variable_then_xdg_then_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGOPS_CACHE_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_dir() == tmp_path / "own"
    monkeypatch.delenv("RAGOPS_CACHE_DIR")
    assert cache_dir() == tmp_path / "xdg/ragops"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_dir() == tmp_path / "home/.cache/ragops"
