"""Collections and their models on real stores: what a change of models means before it is made, and in health after."""

# ruff: noqa: F811
from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ragops.embedding.hashing import HashingEmbedder
from ragops.embedding.spec import ModelSpec
from ragops.operations.data.ingest import ingest
from ragops.operations.data.model_changes import describe_changes
from ragops.operations.data.models import Models
from ragops.operations.observe import consistency
from ragops.services.contract import Endpoint, Status
from tests.fake_session import fake_session
from tests.integration.test_ingest import World, migrated, store, words, world  # noqa: F401
from tests.unit.embedding.model_server import DIMENSIONS, ModelServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ragops.services.contract import Check

OWN = {"model": "m", "dimensions": None, "passage_prefix": "text: "}


@pytest.fixture
def made(world: World) -> Iterator[World]:
    """A collection made with a model of a server, and one without a server."""
    with ModelServer("openai") as server:
        world.write("a.md", words(1, 40))
        world.add_collection("local", world.directory)
        world.sql("INSERT INTO rag.embedding_models (name) VALUES ('m') ON CONFLICT DO NOTHING")
        world.sql(
            "UPDATE rag.collections SET embedding_model = CASE name WHEN 'docs' THEN 'm' ELSE 'hashing-64-v1' END"
        )
        spec = ModelSpec(kind="openai", url=server.url, model="m", passage_prefix="text: ")
        build(world, Models({"m": spec}, str))
        yield world


def build(world: World, models: Models, **options: Any) -> None:
    report = ingest(world.database, world.store.endpoint, models, [], **options)
    assert [one.refused for one in report.collections] == [None, None], report


def findings(world: World, **models: dict[str, Any]) -> dict[str, Check]:
    """Health of the contents, of a platform whose API has these models."""
    api = Endpoint("api", "ragops", "1", "embedded", "127.0.0.1", 1, options={"models": json.dumps(models)})
    store = world.store.endpoint
    qdrant = replace(store, logins={**store.logins, "operator": store.logins["application"]})
    endpoints = {"api": api, "timescaledb": world.database, "qdrant": qdrant}
    return {check.name: check for check in consistency.probe(endpoints, 30).checks}


def test_a_collection_that_can_be_asked_is_well(made: World) -> None:
    found = findings(made, m=OWN)
    assert {name: check.status for name, check in found.items()} == {"vectors": Status.OK, "models": Status.OK}
    assert found["models"].detail == "collections whose model the API has: 2"


@pytest.mark.parametrize(
    ("models", "words", "hint"),
    [
        (
            {"other": OWN},
            "docs cannot be asked: its vectors were made with m, which the API does not have",
            "api.models",
        ),
        (
            {"m": {**OWN, "dimensions": 16}},
            "docs cannot be asked: it has vectors of 8 numbers, m gives 16",
            "--rebuild",
        ),
        ({"m": {**OWN, "passage_prefix": ""}}, "docs was made with another prefix of passages", "--rebuild docs`"),
    ],
)
def test_health_is_degraded_while_a_collection_cannot_be_asked(
    made: World, models: dict[str, Any], words: str, hint: str
) -> None:
    found = findings(made, **models)["models"]
    assert found.status is Status.DEGRADED
    assert words in found.detail
    assert "local" not in found.detail
    assert hint in found.hint
    made.sql("UPDATE rag.collections SET enabled = false WHERE name = 'docs'")
    assert findings(made, **models)["models"].status is Status.OK


def test_points_of_another_embedder_under_the_same_name(made: World) -> None:
    """As a restore of Qdrant alone leaves them."""
    made.store.client.delete("/collections/local")
    made.store.client.put("/collections/local", json={"vectors": {"size": 32, "distance": "Cosine"}})
    found = findings(made, m=OWN)
    assert "local cannot be asked: it has vectors of 32 numbers, hashing-64-v1 gives 64" in found["models"].detail
    assert found["vectors"].status is Status.DOWN  # it is empty, too


def test_a_lost_alias_degrades_health(made: World) -> None:
    ingest(made.database, made.store.endpoint, HashingEmbedder(64), ["local"], rebuild=True)
    assert findings(made, m=OWN)["models"].status is Status.OK
    made.store.post("/collections/aliases", {"actions": [{"delete_alias": {"alias_name": "local@live"}}]})
    found = findings(made, m=OWN)["models"]
    assert (found.status, found.detail) == (Status.DEGRADED, "the alias local@live of local@2 is missing")
    assert "`ragops ingest local`" in found.hint
    ingest(made.database, made.store.endpoint, HashingEmbedder(64), ["local"])
    assert findings(made, m=OWN)["models"].status is Status.OK


def test_fewer_points_than_chunks_degrade_health(made: World) -> None:
    [first, *_] = made.store.points("docs")
    made.store.post("/collections/docs/points/delete?wait=true", {"points": [first]})
    found = findings(made, m=OWN)["vectors"]
    assert found.status is Status.DEGRADED
    assert "docs has" in found.detail
    assert "`ragops ingest`" in found.hint


def changes(made: World, root: Path, before: dict[str, Any], **api: Any) -> tuple[str, ...]:
    options = {"embedder": next(iter(before)), "models": json.dumps(before)}
    session = fake_session(root, {"api": api}, options, {"timescaledb": made.database})
    return describe_changes(session)


def test_plan_names_the_collections_whose_vectors_become_useless(made: World, tmp_path: Path) -> None:
    server = {"kind": "openai", "url": "http://127.0.0.1:1", "passage_prefix": "text: "}
    default = {"hashing-64-v1": {"model": "hashing-64-v1", "dimensions": 64, "passage_prefix": ""}}
    embedder = {"kind": "hashing", "dimensions": 64}
    before = {**default, "m": OWN}
    assert changes(made, tmp_path, before, embedder=embedder, models={"m": server}) == ()
    [other] = changes(made, tmp_path, before, embedder=embedder, models={"m": {**server, "model": "n"}})
    chunks = made.sql("SELECT count(*) FROM rag.chunks WHERE point_collection = 'docs'")[0][0]
    assert other == (
        f"the embedding model m changes (model): the vectors of docs ({chunks} chunks) become useless;"
        " run `ragops ingest --rebuild docs` after `ragops up`"
    )
    for own, is_change in ((DIMENSIONS, False), (512, True)):  # its own number written down is no change
        models = {"m": {**server, "dimensions": own}}
        assert bool(changes(made, tmp_path, before, embedder=embedder, models=models)) is is_change
    [gone] = changes(made, tmp_path, before, embedder=embedder)
    assert f"m is no longer among the models: docs ({chunks} chunks) cannot be asked until" in gone
    assert "`ragops collection set docs --model MODEL` and `ragops ingest --rebuild docs`" in gone
    [kept] = changes(made, tmp_path, before, embedder={"kind": "static"}, models={"m": server})
    assert "hashing-64-v1 and its vectors stay with local (" in kept
    unused = {**before, "nothing-was-made-with-it": OWN}
    assert changes(made, tmp_path, unused, embedder=embedder, models={"m": server}) == ()


def test_another_model_below_the_same_name_makes_all_documents_again(made: World) -> None:
    """Vectors of two models in one collection would answer with nonsense."""
    with ModelServer("openai") as server:
        spec = ModelSpec(kind="openai", url=server.url, model="m", passage_prefix="text: ")
        build(made, Models({"m": spec}, str))
        texts = [text for body in server.asked for text in body["input"]]
        assert not any(text.startswith("text: w") for text in texts), "nothing has changed"
        build(made, Models({"m": spec.model_copy(update={"model": "n", "name": "m"})}, str))
        texts = [text for body in server.asked for text in body["input"] if body["model"] == "n"]
        assert len(texts) > 1
