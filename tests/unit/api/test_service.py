"""The API as a service of the platform: settings, what is rendered from them, and its probe."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr, ValidationError

from ragops.api.app import create_app
from ragops.api.config import ApiConfig, load
from ragops.api.dependencies import build
from ragops.errors import InvalidInputError, UsageError
from ragops.runtimes.docker.facts import TRAITS
from ragops.services.api import IMAGE
from ragops.services.api.configuration import ApiInputs, api_config, embedder, service_spec
from ragops.services.api.health import probe
from ragops.services.api.settings import ApiSettings, EmbedderSettings
from ragops.services.contract import Endpoint, Login, Node, Status
from ragops.services.spec import Distribution, ExecCheck, HttpCheck, Layout
from tests.ports import free_port
from tests.unit.api.conftest import SERVICE_TOKEN
from tests.unit.api.fakes import Server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.api.fakes import Clock, FakeQdrant, Issuer

SECRETS = {
    "qdrant_api_key": "qdrant-secret",
    "redis_application": "redis-secret",
    "timescaledb_application": "database-secret",
    "api_service_token": "operator-token-of-the-file",
    "api_service_token_ingest": "ingest-token-of-the-file",
}


def endpoint(service: str, port: int, user: str, secret: str, *nodes: Node, **options: str) -> Endpoint:
    return Endpoint(service, service, "1", "embedded", "127.0.0.1", port, options=options, nodes=nodes, logins={
        "application": Login(user, secret)
    })  # fmt: skip


def inputs(**settings: Any) -> ApiInputs:
    return ApiInputs(
        settings=ApiSettings.model_validate(settings),
        platform="demo",
        qdrant=endpoint(
            "qdrant",
            6333,
            "",
            "qdrant_api_key",
            Node("qdrant-1", "http://127.0.0.1:6333"),
            Node("qdrant-2", "http://127.0.0.1:6343"),
        ),
        redis=endpoint("redis", 6379, "rag", "redis_application"),
        database=endpoint("timescaledb", 5432, "rag_app", "timescaledb_application", database="rag"),
        jwks_file="/etc/ragops/jwks.json",
        secrets=SECRETS,
    )


def layout(folder: Path) -> Layout:
    return Layout(str(folder), str(folder / "data"), "127.0.0.1")


def test_what_is_rendered_is_what_the_service_reads(tmp_path):
    spec = service_spec(inputs(), layout(tmp_path))
    for file in spec.files:
        (tmp_path / file.name).write_text(file.content)
    config = load(tmp_path / "api.json")
    assert spec.command == ("python", "-m", "ragops.api", f"{tmp_path}/api.json")
    assert spec.health == HttpCheck(8080, "/healthz")
    assert config.issuer == "ragops/demo"
    assert config.qdrant.urls == ("http://127.0.0.1:6333", "http://127.0.0.1:6343")
    assert config.qdrant.grpc_urls == (), "the development server answers REST only"
    assert config.legacy.sunset == date(2027, 5, 23)
    assert (config.breakers.failures, config.breakers.reset_seconds) == (5, 30)
    assert config.path(config.jwks_file).as_posix() == "/etc/ragops/jwks.json"
    assert config.secret(config.qdrant.api_key_file)() == ("qdrant-secret",)
    assert config.database is not None
    assert config.secret(config.database.password_file)() == ("database-secret",)
    create_app(config, build(config))


def test_inside_an_image_it_listens_for_the_others_and_reaches_them_by_name(tmp_path):
    inner = {"inner_host": "timescaledb", "inner_port": 5432}
    nodes = [
        Node(
            f"qdrant-{number}", f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}",
            f"http://qdrant-{number}:6333", f"http://qdrant-{number}:6334",
        )
        for number, port in ((1, 7333), (2, 7343))
    ]  # fmt: skip
    made = replace(
        inputs(port=8123, memory="512mb", embedder={"kind": "hashing"}),
        qdrant=endpoint("qdrant", 7333, "", "qdrant_api_key", *nodes),
        redis=replace(endpoint("redis", 7379, "rag", "redis_application"), inner_host="redis", inner_port=6379),
        database=replace(endpoint("timescaledb", 7432, "rag_app", "timescaledb_application", database="rag"), **inner),
        keys={"keys": []},
    )
    spec = service_spec(
        made, Layout("/etc/ragops", "", "0.0.0.0", internal_host="api", hot_dir="/etc/ragops-hot", **asdict(TRAITS))
    )
    config = json.loads(next(file.content for file in spec.files if file.name == "api.json"))
    assert config["listen"] == {"host": "0.0.0.0", "port": 8080}
    assert (config["redis"]["host"], config["redis"]["port"]) == ("redis", 6379)
    assert (config["database"]["host"], config["database"]["port"]) == ("timescaledb", 5432)
    assert config["qdrant"]["urls"] == ["http://qdrant-1:6333", "http://qdrant-2:6333"]
    assert config["qdrant"]["grpc_urls"] == ["http://qdrant-1:6334", "http://qdrant-2:6334"]
    assert config["jwks_file"] == f"{spec.image.hot_dir}/jwks.json"
    assert [(file.name, file.content) for file in spec.hot if not file.secret] == [
        ("jwks.json", '{\n  "keys": []\n}\n')
    ]
    assert (spec.ports, spec.publish, spec.memory) == ({"api": 8080}, {"api": 8123}, 512 << 20)
    assert spec.image.reference == IMAGE
    assert isinstance(spec.health, ExecCheck)
    assert service_spec(inputs(image="mine:1"), layout(tmp_path)).image.reference == "mine:1"


def test_secrets_are_in_secret_files_only(tmp_path):
    for file in service_spec(inputs(), layout(tmp_path)).files:
        assert file.secret == any(secret in file.content for secret in SECRETS.values()), file.name


def test_each_calling_service_has_a_token_of_its_own(tmp_path):
    [file] = [file for file in service_spec(inputs(), layout(tmp_path)).files if file.name == "service_tokens.json"]
    assert json.loads(file.content) == {
        "tokens": [
            {"service": "ragops", "current": "operator-token-of-the-file"},
            {"service": "ingest", "current": "ingest-token-of-the-file"},
        ]
    }


def test_the_same_settings_render_the_same_text(tmp_path):
    first, second = (service_spec(inputs(), layout(tmp_path)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("settings", "distribution", "found"),
    [
        ({}, Distribution.WHEEL, ("static", "wordllama-l2-256-v2", 256)),
        ({"kind": "static"}, Distribution.IMAGE, ("static", "wordllama-l2-256-v2", 256)),
        (
            {"kind": "openai", "url": "http://vllm:8000", "model": "bge"},
            Distribution.IMAGE,
            ("openai", "bge", None),
        ),
        ({"dimensions": 128}, Distribution.WHEEL, ("hashing", "hashing-128-v1", 128)),
        ({"kind": "hashing"}, Distribution.IMAGE, ("hashing", "hashing-384-v1", 384)),
        ({"ollama_url": "http://ollama:11434"}, Distribution.WHEEL, ("ollama", "nomic-embed-text", None)),
        ({"ollama_url": "http://ollama:11434", "model": "bge"}, Distribution.IMAGE, ("ollama", "bge", None)),
        (
            {"kind": "hashing", "ollama_url": "http://ollama:11434"},
            Distribution.IMAGE,
            ("hashing", "hashing-384-v1", 384),
        ),
    ],
)
def test_which_embedder(settings, distribution, found):
    choice = embedder(EmbedderSettings.model_validate(settings), distribution)
    assert (choice.kind, choice.model, choice.dimensions) == found


def test_production_does_not_start_without_a_model_unless_told_to():
    with pytest.raises(UsageError) as refused:
        embedder(EmbedderSettings(), Distribution.IMAGE)
    assert refused.value.code == "embedder_missing"
    assert "ollama_url" in refused.value.hint


def test_chat_uses_the_embedders_server_where_it_has_none_of_its_own(tmp_path):
    ollama = {"ollama_url": "http://ollama:11434"}
    config = api_config(inputs(embedder=ollama, chat={"model": "llama"}), layout(tmp_path))
    assert config["chat"] == {"model": "llama", "url": "http://ollama:11434"}
    assert api_config(inputs(), layout(tmp_path))["chat"] is None


@pytest.mark.parametrize(
    "settings",
    [
        {"embedder": {"kind": "ollama"}},
        {"embedder": {"kind": "openai", "model": "bge"}},
        {"embedder": {"url": "http://vllm:8000"}},
        {"embedder": {"kind": "static", "dimensions": 128}},
        {"embedder": {"kind": "openai", "url": "http://user:secret@vllm:8000"}},
        {"chat": {"kind": "openai", "model": "llama"}},
        {"chat": {"model": "llama", "context": 2048, "max_tokens": 2000}},
        {"models": {"e5": {"keep_alive": "soon"}}},
        {"embedder": {"ollama_url": "localhost:11434"}},
        {"legacy": {"deprecated": "2027-01-01", "sunset": "2026-01-01"}},
        {"privacy": {"query_text": "some"}},
        {"breakers": {"failures": 0}},
        {"prot": 8080},
        {"port": 80},
    ],
)
def test_settings_that_cannot_be(settings):
    with pytest.raises(ValidationError):
        ApiSettings.model_validate(settings)


def test_every_fault_of_a_configuration_is_told_at_once(tmp_path):
    path = tmp_path / "api.json"
    path.write_text(json.dumps({"listen": {"port": 0}, "platform": "x", "surprise": 1, "embedder": {"kind": "ollama"}}))
    with pytest.raises(InvalidInputError) as refused:
        load(path)
    assert {"listen.port", "surprise", "issuer", "qdrant", "embedder"} <= {
        fault.key for fault in refused.value.problems
    }


# --- the probe -------------------------------------------------------------------------------------------------------


@pytest.fixture
def live(settings: Callable[..., ApiConfig], issuer: Issuer, clock: Clock) -> Any:
    """The service on a port, and its endpoint."""
    issuer.issue()
    config = settings()
    server = Server(create_app(config, build(config, clock))).start()
    login = Login("ragops", "api_service_token", SecretStr(SERVICE_TOKEN))
    yield Endpoint("api", "ragops", "1.2.3", "embedded", "127.0.0.1", server.port, logins={"operator": login})
    server.stop()


def found(result: Any) -> dict[str, Status]:
    return {check.name: check.status for check in result.checks}


def test_probe_of_a_service_that_is_well(live):
    result = probe(live, 5)
    assert result.status is Status.OK
    assert result.version == "1.2.3"
    assert found(result).keys() == {"reachable", "tokens", "qdrant", "embedder", "breaker qdrant"}
    assert "hashing-384-v1" in next(check.detail for check in result.checks if check.name == "embedder")


def test_probe_shows_the_breaker_and_lets_it_try_again(live, qdrant: FakeQdrant, clock: Clock):
    qdrant.fail = 500
    for _ in range(5):
        result = probe(live, 5)
    assert found(result)["qdrant"] is Status.DOWN
    assert found(result)["breaker qdrant"] is Status.DEGRADED
    [breaker] = [check for check in result.checks if check.name == "breaker qdrant"]
    assert "open" in breaker.detail
    assert "answers 500" in breaker.detail
    assert breaker.hint == "see `ragops health qdrant`"
    qdrant.fail = 0
    clock.move(30)
    assert probe(live, 5).status is Status.OK


def test_probe_of_nobody_and_of_something_else(qdrant: FakeQdrant):
    login = Login("ragops", "api_service_token", SecretStr("x"))
    for port, detail in ((free_port(), "ConnectError"), (qdrant.server.port, "answers 401")):
        result = probe(Endpoint("api", "ragops", "1", "embedded", "127.0.0.1", port, logins={"operator": login}), 2)
        [check] = result.checks
        assert (check.name, check.status) == ("reachable", Status.DOWN)
        assert detail in check.detail
        assert check.hint


def test_a_collector_is_in_the_configuration_only_if_there_is_one(tmp_path):
    assert "tracing" not in api_config(inputs(), layout(tmp_path)), "no API is changed by an update of ragops"
    config = api_config(inputs(tracing={"endpoint": "http://collector:4318", "sample": 0.5}), layout(tmp_path))
    assert config["tracing"] == {"endpoint": "http://collector:4318", "sample": 0.5}
    assert ApiConfig.model_validate(config).tracing.sample == 0.5
