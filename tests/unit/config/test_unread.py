"""Keys without effect are refused with line and key, and only those."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ragops.config.load import load, read_values
from ragops.errors import InvalidInputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def problems(root: Path, environment: str | None = None, **variables: str) -> list[str]:
    with pytest.raises(InvalidInputError) as refused:
        load(root / "ragops.yaml", environment, variables)
    return [str(problem) for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("text", "where", "key"),
    [
        ("expose:\n  gateway: 0.0.0.0\n", "ragops.yaml:3", "expose.gateway"),
        ("qdrant:\n  port: 6333\n  nodes: 3\n", "ragops.yaml:4", "qdrant.nodes"),
        ("qdrant: {replication_factor: 1}\n", "ragops.yaml:2", "qdrant.replication_factor"),
        ("redis: {image: 'redis:8'}\n", "ragops.yaml:2", "redis.image"),
        ("timescaledb: {license: apache}\n", "ragops.yaml:2", "timescaledb.license"),
        ("api: {memory: 2gb}\n", "ragops.yaml:2", "api.memory"),
        ("runtime: docker\napi: {embedder: {kind: hashing}}\nrun_as: postgres\n", "ragops.yaml:4", "run_as"),
        ("runtime: docker\napi: {embedder: {kind: hashing}}\ndata_dir: /srv\n", "ragops.yaml:4", "data_dir"),
    ],
)
def test_a_key_without_effect_is_refused_with_its_line(tmp_path: Path, text: str, where: str, key: str) -> None:
    (tmp_path / "ragops.yaml").write_text(f"name: rag\n{text}")
    (found,) = problems(tmp_path)
    assert found.startswith(f"{where}: {key}: has no effect with `runtime: ")


def test_a_variable_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "ragops.yaml").write_text("name: rag\n")
    (found,) = problems(tmp_path, RAGOPS__EXPOSE__API="0.0.0.0")
    assert found.startswith("$RAGOPS__EXPOSE__API: expose.api: ")


def test_the_files_of_two_runtimes_lie_over_one_another(tmp_path: Path) -> None:
    (tmp_path / "ragops.yaml").write_text(
        "name: rag\nruntime: docker\nqdrant: {nodes: 5}\napi: {embedder: {kind: hashing}}\n"
    )
    (tmp_path / "ragops.dev.yaml").write_text("runtime: embedded\n")
    assert load(tmp_path / "ragops.yaml", "dev", {}).settings.runtime == "embedded"
    (tmp_path / "ragops.dev.yaml").write_text("runtime: embedded\nqdrant: {nodes: 1}\n")
    (found,) = problems(tmp_path, "dev")
    assert found.startswith("ragops.dev.yaml:2: qdrant.nodes: ")


def test_an_older_recovery_point_is_read_without_them(tmp_path: Path) -> None:
    path = tmp_path / "ragops.yaml"
    path.write_text("name: rag\nqdrant: {nodes: 3, port: 7003}\nexpose: {api: 0.0.0.0}\n")
    project = load(path, None, {}, pass_over_unread=True)
    assert [problem.key for problem in project.unread] == ["expose.api", "qdrant.nodes"]
    assert read_values([path], {}) == {"name": "rag", "qdrant": {"port": 7003}}


@pytest.mark.parametrize(("address", "kept"), [("::", "::"), ("fd00:0:0::5", "fd00::5"), ("10.0.0.5", "10.0.0.5")])
def test_ports_are_published_on_addresses_of_both_families(tmp_path: Path, address: str, kept: str) -> None:
    path = tmp_path / "ragops.yaml"
    path.write_text(
        f"name: rag\nruntime: docker\napi: {{embedder: {{kind: hashing}}}}\nexpose: {{gateway: '{address}'}}\n"
    )
    assert load(path, None, {}).settings.expose.gateway == kept


@pytest.mark.parametrize("address", ["localhost", "fe80::1%eth0", "[::1]", "10.0.0", "::1/128", "010.0.0.1"])
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    (tmp_path / "ragops.yaml").write_text(
        f"name: rag\nruntime: docker\napi: {{embedder: {{kind: hashing}}}}\nexpose: {{gateway: '{address}'}}\n"
    )
    assert problems(tmp_path)[0].startswith("ragops.yaml:4: expose.gateway: ")


def test_an_environment_without_its_file_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    for name in ("ragops.yaml", "ragops.live.yaml", "ragops.dev.yaml", "ragops.Not.yaml", "ragops.live.yaml.bak"):
        (tmp_path / name).write_text("name: rag\n")
    with pytest.raises(UsageError) as refused:
        load(tmp_path / "ragops.yaml", "nope", {})
    assert refused.value.hint.startswith("one of: default, dev, live; for a new one create ragops.nope.yaml")
