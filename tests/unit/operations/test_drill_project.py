"""The settings of a scratch platform."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ragops.config.load import load
from ragops.config.model import Settings
from ragops.operations.lifecycle.init import init
from ragops.operations.restore import scratch_platform
from ragops.operations.restore.project_files import ProjectFiles

if TYPE_CHECKING:
    from pathlib import Path


def changed(folder: Path, **values: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    return scratch_platform.settings({"name": "rag", **values}, folder / "rag-drill-0a1b", [])


@pytest.mark.parametrize("name", ["r", "rag", "a" * 31, "a" * 19 + "-" + "b" * 11])
def test_its_name_is_one_that_may_be(name: str) -> None:
    found = scratch_platform.scratch_name(name)
    assert Settings.model_validate({"name": found}).name == found
    assert found != name
    assert "--" not in found


def test_every_port_is_another_one_that_is_free(tmp_path: Path) -> None:
    live = Settings.model_validate({"name": "rag", "redis": {"port": 20000}})
    values, _ = scratch_platform.settings(live.model_dump(mode="json"), tmp_path / "d", live.ports().values())
    scratch = Settings.model_validate(values)
    assert scratch.ports().keys() == live.ports().keys()
    assert not {*scratch.ports().values()} & {*live.ports().values()}
    assert len({*scratch.ports().values()}) == len(scratch.ports())


def test_a_cluster_on_docker_gets_ports_for_every_node(tmp_path: Path) -> None:
    values, notes = changed(
        tmp_path, runtime="docker", qdrant={"nodes": 3, "port": 6333},
        ollama={"models": ["nomic-embed-text", "llama3.2"]}, api={"chat": {"model": "llama3.2"}, "workers": 2},
        expose={"gateway": "0.0.0.0"},
    )  # fmt: skip
    scratch = Settings.model_validate(values)
    assert len({*scratch.ports().values()}) == len(scratch.ports())
    assert scratch.ollama is None
    assert scratch.api.workers == 2
    assert set(scratch.expose.addresses().values()) == {"127.0.0.1"}
    assert "Ollama" in notes[0]


def test_nothing_of_it_is_kept_where_the_live_platform_keeps_its_own(tmp_path: Path) -> None:
    values, notes = changed(
        tmp_path, pulumi={"backend": "s3://bucket", "secrets_provider": "awskms://key"},
        backup={"repository": "s3://bucket", "metrics_file": "m", "ping": {"start": "https://x.example"}},
        timescaledb={"database": "docs"}, data_dir="/srv/data",
    )  # fmt: skip
    scratch = Settings.model_validate(values)
    assert scratch.pulumi.backend.startswith((tmp_path / "rag-drill-0a1b").as_uri())
    assert scratch.pulumi.secrets_provider == "passphrase"
    assert (scratch.backup, scratch.data_dir) == (type(scratch.backup)(), "")
    assert scratch.timescaledb.database == "docs"
    assert notes == ()


def test_it_is_made_with_the_overlay_and_the_variables_of_the_live_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init(tmp_path / "p", "rag", "embedded")
    live = load(tmp_path / "p" / "ragops.yaml", None, {})
    overlay = tmp_path / "ragops.staging.yaml"
    overlay.write_text("redis: {maxmemory: 64mb}\ndata_dir: ignored\n")
    shutil.copy(live.config, tmp_path / "ragops.yaml")
    monkeypatch.setenv("RAGOPS__TIMESCALEDB__MAX_CONNECTIONS", "50")
    monkeypatch.setenv("RAGOPS__NAME", "live")
    files = ProjectFiles(tmp_path / "ragops.yaml", overlay)
    scratch = scratch_platform.make(live, files, scratch_platform.new_folder(live), "test", lambda _text: None)
    found = scratch.session.project
    assert found.settings.name == scratch.folder.name
    assert found.settings.redis.maxmemory == "64mb"
    assert found.settings.timescaledb.max_connections == 50
    assert scratch.folder.parent == live.paths.drill_projects
    assert scratch_platform.left(live) == (scratch.folder,)
    assert yaml.safe_load((scratch.folder / "ragops.yaml").read_text())["name"].startswith("rag-drill-")
    scratch_platform.remove(scratch.folder, "test", lambda _text: None)
    assert scratch_platform.left(live) == ()


def test_data_go_to_the_disk_that_is_meant_for_data_and_away_from_there(tmp_path: Path) -> None:
    init(tmp_path / "p", "rag", "embedded")
    config = tmp_path / "p" / "ragops.yaml"
    (tmp_path / "large" / "default").mkdir(parents=True)
    config.write_text(f"{config.read_text()}\ndata_dir: {tmp_path}/large\n")
    live = load(config, None, {})
    scratch = scratch_platform.make(
        live, ProjectFiles(config, None), scratch_platform.new_folder(live), "test", lambda _text: None
    )
    data = scratch.session.project.paths.data_dir("redis")
    assert tmp_path / "large" in data.parents
    assert live.paths.all_data not in data.parents
    data.mkdir(parents=True)
    scratch_platform.remove(scratch.folder, "test", lambda _text: None)
    assert [path.name for path in (tmp_path / "large").iterdir()] == ["default"]
