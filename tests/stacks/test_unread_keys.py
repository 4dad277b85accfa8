"""The list of keys without effect is what the program of the platform shows: a changed value changes nothing."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
from pydantic import BaseModel, ValidationError

from ragops.config.load import Project
from ragops.config.model import Settings
from ragops.config.paths import ProjectPaths
from ragops.config.unread import find_unread
from ragops.operations.lifecycle.stack import PlatformInputs, platform_inputs
from ragops.runtimes.docker.names import DockerNames
from ragops.runtimes.docker.runtime import DockerRuntime
from ragops.services.gateway import KONG_METRICS_PORT
from tests.stacks.test_platform import SECRETS, Engine, _program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Not the runtime's to read: the name, the state, recovery points, and what is read only by processes of root.
_OTHERS = ("name", "runtime", "pulumi", "backup", "ollama", "run_as")
_MODELS = {"embedder": {"kind": "ollama", "ollama_url": "http://127.0.0.1:1"}, "chat": {"model": "a"}}
_TRACING = {"tracing": {"endpoint": "http://127.0.0.1:2"}}
_BASE: dict[str, Any] = {"name": "test", "api": _MODELS | _TRACING, "observability": {"program": "/bin/true"}}
_WATCHING = "observability"  # declared for its own keys alone: it is more containers than all else
_OTHER_VALUES = {
    "redis.maxmemory": "128mb", "redis.maxmemory_policy": "noeviction", "timescaledb.database": "docs",
    "timescaledb.shared_buffers": "64MB", "timescaledb.work_mem": "5MB", "timescaledb.license": "apache",
    "api.embedder.kind": "hashing", "api.embedder.dimensions": 99, "api.privacy.query_text": "omit",
    "api.chat.ollama_url": "http://127.0.0.1:2", "api.embedder.ollama_url": "http://127.0.0.1:2",
    "gateway.rate_limit.per": "minute", "gateway.origins": ["https://a.example"], "gateway.body_limit": "9mb",
    "qdrant.nodes": 5, "qdrant.replication_factor": 2, "qdrant.shards_per_node": 3, "data_dir": "elsewhere",
    "api.embedder.key_file": "model.key", "api.chat.key_file": "model.key", "api.chat.kind": "openai",
    "api.embedder.keep_alive": "5m", "api.chat.keep_alive": "5m", "api.embedder.context": 4096,
    "api.embedder.url": "http://127.0.0.1:2", "api.chat.url": "http://127.0.0.1:2",
    "api.models": {"e5": {"url": "http://127.0.0.1:2"}},
    "api.tracing.endpoint": "http://127.0.0.1:3", "api.tracing.sample": 0.5,
    "search.mode": "dense", "search.least_cosine": 0.4,
    "search.language": "german", "api.embedder.least_cosine": 0.4,
    "redis.users": {"worker": {"rules": ["+ping"]}},
    "observability.scrape_interval": "30s", "observability.retention": "9d", "observability.retention_size": "9GB",
    "observability.alertmanager.repeat": "9h", "observability.program": "/bin/false",
    "observability.notify": [{"type": "webhook", "url": "http://a.example"}],
    "observability.external.remote_write": [{"url": "http://a.example"}],
    "observability.external.alertmanager": "http://a.example", "observability.external.grafana": "http://a.example",
    "observability.external.alertmanager_token_file": "model.key",
}  # fmt: skip

# What a value is valid with.
_TOGETHER: dict[str, dict[str, Any]] = {
    "api.chat.kind": {"api.chat.url": "http://127.0.0.1:2"},
    "observability.external.alertmanager_token_file": {"observability.external.alertmanager": "http://a.example"},
}


def leaves(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def other(key: str, value: Any) -> Any:
    """A valid value that is not the default."""
    if key in _OTHER_VALUES:
        return _OTHER_VALUES[key]
    if key.startswith("expose."):
        return "10.1.2.3"
    if key.endswith(".image"):
        return "registry.example/other:v9.9.9-pg17"
    if key.endswith(".memory"):
        return "3gb"
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, datetime.date):
        return value.replace(day=value.day - 1)
    return f"{value}x"


def declared(runtime: str, root: Path, changes: dict[str, Any]) -> str:
    """What the program registers, as text."""
    values = json.loads(json.dumps(_BASE)) | {"runtime": runtime}
    if not any(key.partition(".")[0] == _WATCHING for key in changes):
        values[_WATCHING] = False
    for key, value in changes.items():
        *sections, name = key.split(".")
        section = values
        for part in sections:
            section = section.setdefault(part, {})
        section[name] = value
    settings = Settings.model_validate(values)
    engine = Engine()
    pulumi.runtime.set_mocks(engine, project="test", stack="default", preview=False)

    @pulumi.runtime.test
    def run() -> None:
        project = Project(settings, ProjectPaths(root, "default", settings.data_dir), root / "ragops.yaml")
        _program()(inputs_of(project))

    run()
    found = {f"{kind}::{name}": args.inputs for (kind, name), args in engine.resources.items()}
    return json.dumps(found, sort_keys=True, default=str)


def inputs_of(project: Project) -> PlatformInputs:
    """As `up` makes them, but no Docker engine is asked which images it has."""
    embedded = Project(project.settings.model_copy(update={"runtime": "embedded"}), project.paths, project.config)
    made = platform_inputs(embedded, SECRETS)
    if project.settings.runtime == "embedded":
        return made
    names = DockerNames("test", "default")
    runtime = DockerRuntime(names, project.settings.expose.addresses(), lambda reference: f"sha256:{reference}")
    door = replace(made.door, metrics_port=KONG_METRICS_PORT)
    return replace(made, settings=project.settings, runtime=runtime, door=door, model_keys=dict)


def _keys(runtime: str) -> list[tuple[str, Any]]:
    found = leaves(Settings.model_validate({"name": "test", "runtime": runtime, **_BASE}))
    return [(key, value) for key, value in found if key.partition(".")[0] not in _OTHERS]


_PARTS = 6  # of the keys: each takes a declaration of the whole platform


@pytest.mark.campaign(sample=3)
@pytest.mark.parametrize("part", range(_PARTS))
@pytest.mark.parametrize("runtime", ["embedded", "docker"])
def test_the_list_is_complete_and_true(runtime: str, part: int, tmp_path: Path, pulumi_loop: None) -> None:
    (tmp_path / "model.key").touch(mode=0o600)
    (tmp_path / "model.key").write_text("secret")
    before = declared(runtime, tmp_path, {})
    watched = declared(runtime, tmp_path, {f"{_WATCHING}.port": 9090})
    keys = [(key, value) for key, value in _keys(runtime) if key != "expose.ollama"][part::_PARTS]  # there is none here
    ignored = set()
    for key, value in keys:
        try:
            after = declared(runtime, tmp_path, {key: other(key, value), **_TOGETHER.get(key, {})})
        except ValidationError as error:
            raise AssertionError(f"{key}: no valid other value: {error}") from error
        if after in (before, watched):
            ignored.add(key)
    listed = find_unread(runtime)
    assert ignored == {key for key, _ in keys if any(_is_below(key, above) for above in listed)}


@pytest.mark.parametrize("runtime", ["embedded", "docker"])
def test_each_entry_of_the_list_is_a_key(runtime: str) -> None:
    keys = [key for key, _ in _keys(runtime)]
    listed = [key for key in find_unread(runtime) if key.partition(".")[0] not in _OTHERS]
    assert [entry for entry in listed if not any(_is_below(key, entry) for key in keys)] == []


def _is_below(key: str, above: str) -> bool:
    return f"{key}.".startswith(f"{above}.")
