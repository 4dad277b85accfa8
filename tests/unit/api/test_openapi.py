"""The OpenAPI document: complete, with examples that hold, and true of the service as schemathesis asks it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from ragops.api.app import create_app
from ragops.api.config import ApiConfig
from ragops.embedding.hashing import HashingEmbedder
from tests.unit.api.fakes import ISSUER, FakeQdrant, Issuer, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

METHODS = {"get", "post", "put", "delete", "patch"}
EXAMPLES = 25
SERVICE_TOKEN = "operator-token-operator-token"


class Running:
    """The service over real HTTP, with all that it asks."""

    def __init__(self, folder: Any) -> None:
        self.qdrant = FakeQdrant()
        self.qdrant.add("manuals", {"a.md": "rotation of secrets"}, HashingEmbedder().embed)
        self.store = Server(self.qdrant).start()
        issuer = Issuer(folder / "jwks.json", None)  # type: ignore[arg-type]
        self.token = issuer.issue()
        (folder / "tokens.json").write_text(f'{{"tokens": [{{"service": "test", "current": "{SERVICE_TOKEN}"}}]}}')
        (folder / "key").write_text("key")
        config = ApiConfig.model_validate(
            {
                "listen": {"port": 8080},
                "platform": "test",
                "issuer": ISSUER,
                "jwks_file": "jwks.json",
                "service_tokens_file": "tokens.json",
                "qdrant": {"urls": [self.store.url], "api_key_file": "key"},
                "embedder": {"kind": "hashing"},
                "legacy": {"deprecated": "2026-11-23", "sunset": "2999-01-01"},
            }
        ).model_copy(update={"folder": folder})
        self.app = create_app(config)

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "X-Service-Token": SERVICE_TOKEN}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    service = Running(tmp_path_factory.mktemp("openapi"))
    yield service
    service.store.stop()


@pytest.fixture(scope="module")
def document(running: Running) -> dict[str, Any]:
    return running.app.openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"][name] if name else schema


def test_there_is_what_was_promised(document):
    assert {path for path, _, _ in operations(document)} == {
        "/api/v1/search", "/api/v1/query", "/api/v1/collections", "/api/v2/search", "/search", "/query", "/collections",
        "/internal/breakers", "/internal/collections/refresh", "/healthz", "/readyz", "/metrics",
    }  # fmt: skip
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)


def test_every_operation_has_examples_and_they_are_valid(document):
    validators = {"$schema": "https://json-schema.org/draft/2020-12/schema", "components": document["components"]}
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        content = operation["responses"]["200"]["content"]
        for media, described in content.items():
            schema = resolve(document, described.get("schema", {}))
            examples = [described["example"]] if "example" in described else schema.get("examples", [])
            assert examples, f"{where}: 200 {media} has no example"
            for example in examples:
                jsonschema_rs.validate({**validators, **schema}, example)
        for parameter in operation.get("parameters", []):
            assert "examples" in parameter["schema"] or "example" in parameter, f"{where}: {parameter['name']}"
        if "requestBody" in operation:
            [described] = operation["requestBody"]["content"].values()
            for name, field in resolve(document, described["schema"])["properties"].items():
                assert field.get("examples"), f"{where}: {name} has no example"


def test_security_is_declared_where_it_is_asked(document):
    for path, method, operation in operations(document):
        schemes = [name for scheme in operation.get("security", []) for name in scheme]
        if path.startswith("/internal"):
            assert schemes == ["ServiceToken"], (path, method)
            assert "403" in operation["responses"]
        elif path in ("/healthz", "/readyz", "/metrics"):
            assert schemes == []
        else:
            assert schemes == ["UserToken"], (path, method)
            assert "401" in operation["responses"]


def test_legacy_is_deprecated_and_nothing_else(document):
    for path, _, operation in operations(document):
        assert operation.get("deprecated", False) == (path in ("/search", "/query", "/collections"))


def test_v2_says_what_differs(document):
    assert "grouped by document" in document["paths"]["/api/v2/search"]["post"]["description"]


def test_errors_are_declared_as_problems(document):
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400 and path != "/readyz":
                assert list(response["content"]) == ["application/problem+json"], (path, method, status)


@pytest.mark.fuzz
@pytest.mark.timeout(600)
def test_schemathesis_finds_nothing(running, tmp_path):
    """All its checks over HTTP, bounded: examples, coverage of boundaries, and fuzzing."""
    server = Server(running.app).start()
    headers = [part for name, value in running.headers().items() for part in ("--header", f"{name}: {value}")]
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", *headers,
        "--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES), "--generation-deterministic",
        "--suppress-health-check", "all", "--continue-on-failure", "--no-color",
    ]  # fmt: skip
    try:
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False)
    finally:
        server.stop()
    assert result.returncode == 0, result.stdout[-20000:] + result.stderr[-2000:]
    assert "Tested: 15" in result.stdout, result.stdout
