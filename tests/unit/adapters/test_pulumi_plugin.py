"""Finding the engine's plugin for Docker, and what is said where it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragops.adapters.pulumi import plugin as pulumi_plugin
from ragops.adapters.pulumi.install import Engine
from ragops.errors import ExitCode, RagopsError


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def program(folder: Path) -> Path:
    folder.mkdir(parents=True)
    path = folder / "pulumi-resource-docker"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_it_is_found_where_the_engine_looks(tmp_path: Path) -> None:
    assert pulumi_plugin.find() is None
    installed = program(tmp_path / "home" / "plugins" / f"resource-docker-v{pulumi_plugin.version()}")
    assert pulumi_plugin.find() == installed
    assert pulumi_plugin.find() != program(tmp_path / "bin")
    assert pulumi_plugin.require() == tmp_path / "bin" / "pulumi-resource-docker"


def test_one_of_another_version_is_none(tmp_path: Path) -> None:
    program(tmp_path / "home" / "plugins" / "resource-docker-v1.0.0")
    with pytest.raises(RagopsError) as caught:
        pulumi_plugin.require()
    assert (caught.value.code, caught.value.exit_code) == ("plugin_missing", ExitCode.MISSING)
    assert "--file" in caught.value.hint


def test_the_engine_is_asked_for_exactly_it() -> None:
    assert pulumi_plugin.install_arguments(Path("/p")) == (
        "/p", "plugin", "install", "resource", "docker", f"v{pulumi_plugin.version()}",
    )  # fmt: skip


def test_a_pinned_checksum_is_passed_to_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(pulumi_plugin, "PLUGIN_SHA256", {"linux-amd64": "a" * 64})
    assert pulumi_plugin.install_arguments(Path("/p"))[-2:] == ("--checksum", "a" * 64)
    monkeypatch.setattr(pulumi_plugin, "PLUGIN_SHA256", {"linux-arm64": "a" * 64})
    assert "--checksum" not in pulumi_plugin.install_arguments(Path("/p"))


def test_a_download_that_fails_says_why_and_how_else(tmp_path: Path) -> None:
    engine = tmp_path / "pulumi"
    engine.write_text("#!/bin/sh\necho trying >&2; echo 'error: no such host' >&2; exit 1\n")
    engine.chmod(0o755)
    with pytest.raises(RagopsError) as caught:
        pulumi_plugin.install(Engine(engine, "3.259.0", "test"))
    assert caught.value.code == "plugin_missing"
    assert caught.value.message.endswith("error: no such host")
