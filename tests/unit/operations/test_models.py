"""Which embedders an environment has, the keys of their servers, and what another default means."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ragops.config.model import Settings
from ragops.errors import InvalidInputError, RagopsError, UsageError
from ragops.operations.data import model_changes
from ragops.operations.data.model_changes import describe_changes
from ragops.operations.data.models import Models, find_models, model_keys
from ragops.services.api.configuration import known_models
from ragops.services.spec import Distribution
from ragops.services.timescaledb.collections.json_file import parse_collections
from ragops.services.timescaledb.collections.made_with import MadeWith
from tests.fake_session import fake_session
from tests.unit.embedding.model_server import ModelServer

if TYPE_CHECKING:
    from ragops.operations.session import Session

DOCS = Path(__file__).parents[3] / "docs" / "configuration.md"


def session(root: Path, options: dict[str, str] | None = None, **api: Any) -> Session:
    return fake_session(root, {"api": api}, options)


def test_the_example_of_the_documentation_is_taken() -> None:
    section = DOCS.read_text().split("## Models", 1)[1]
    example = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)
    assert example
    settings = Settings.model_validate({"name": "test", **yaml.safe_load(example[1])})
    found = known_models(settings.api, Distribution.WHEEL)
    assert [(name, spec.kind, spec.url) for name, spec in found.items()] == [
        ("BAAI/bge-m3", "openai", "http://10.0.0.5:8000"),
        ("intfloat/multilingual-e5-large", "openai", "http://10.0.0.6:8080"),
        ("nomic-embed-text", "ollama", "http://10.0.0.7:11434"),
    ]
    assert found["intfloat/multilingual-e5-large"].prefixes == ("query: ", "passage: ")
    assert (found["BAAI/bge-m3"].batch_size, settings.api.key_files) == (64, ("models.key",))


def test_every_key_is_documented() -> None:
    text = DOCS.read_text()
    for section in ("embedder", "chat"):
        for name in type(getattr(Settings.model_validate({"name": "test"}).api, section)).model_fields:
            assert f"`api.{section}.{name}`" in text, f"api.{section}.{name}"


def test_models_without_a_server_are_always_there_others_are_named(tmp_path: Path) -> None:
    models = find_models(session(tmp_path))
    assert models.default == "wordllama-l2-256-v2"
    assert models.open("hashing-64-v1").dimensions == 64
    assert models.open("hashing-64-v1") is models.open("hashing-64-v1")
    for wrong in ("nomic-embed-text", "hashing-0-v1", "hashing-64-v2", ""):
        with pytest.raises(UsageError, match=r"there are wordllama-l2-256-v2, hashing-384-v1") as caught:
            models.open(wrong)
        assert caught.value.code == "embedding_model_unknown"


def test_an_import_refuses_unknown_models_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "collections.json"
    file.write_text(
        '{"collections": [{"name": "a", "directory": "a",\n "embeddingModel": "gone"}],\n'
        '"defaults": {"embeddingModel": "lost"}}'
    )
    models = find_models(session(tmp_path))
    with pytest.raises(InvalidInputError) as caught, parse_collections(file, unknown_model=models.find_fault):
        pass
    found = [(problem.where.rpartition(":")[2], problem.key) for problem in caught.value.problems]
    assert found == [("2", "collections[0].embeddingModel"), ("3", "defaults.embeddingModel")]
    assert "there is none of that name; there are wordllama-l2-256-v2" in caught.value.problems[0].message


def test_two_embedders_of_one_name_are_refused(tmp_path: Path) -> None:
    embedder = {"kind": "openai", "url": "http://a:1", "model": "m"}
    with pytest.raises(UsageError) as caught:
        find_models(session(tmp_path, embedder=embedder, models={"m": {"url": "http://b:1"}}))
    assert caught.value.code == "model_named_twice"


def test_a_key_file_is_sent_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    key = tmp_path / "models.key"
    with ModelServer("openai") as server:
        api = {"embedder": {"kind": "openai", "url": server.url, "model": "m", "key_file": "models.key"}}
        settings = Settings.model_validate({"name": "test", "api": api})
        models = find_models(session(tmp_path, **api))
        with pytest.raises(UsageError, match="cannot read key_file"):
            models.open("m").embed(["x"])
        key.write_text("sk-secret\n")
        key.chmod(0o644)
        with pytest.raises(UsageError, match="its mode is 644") as caught:
            model_keys(settings, tmp_path)
        assert caught.value.hint == f"`chmod 600 {key}`"
        key.chmod(0o600)
        assert model_keys(settings, tmp_path) == {"models.key": "sk-secret\n"}
        models.open("m").embed(["x"])
        assert server.keys == ["Bearer sk-secret"]
        key.write_text("two keys\n")
        with pytest.raises(RagopsError, match="does not hold one key") as wrong:
            model_keys(settings, tmp_path)
        assert "two" not in wrong.value.message


def test_what_a_change_of_models_means_is_said_before_it_is_made(tmp_path: Path) -> None:
    """Without a database that answers no collection is named."""

    def before(*names: str, **settings: Any) -> dict[str, str]:
        made = {"model": names[0], "dimensions": 384, "passage_prefix": "", **settings}
        return {"embedder": names[0], "models": json.dumps(dict.fromkeys(names, made))}

    assert describe_changes(session(tmp_path)) == ()
    static = before("wordllama-l2-256-v2", dimensions=256)
    assert describe_changes(session(tmp_path, static)) == ()
    [stays] = describe_changes(session(tmp_path, before("hashing-384-v1")))
    assert "from hashing-384-v1 to wordllama-l2-256-v2" in stays
    assert "hashing-384-v1 and its vectors stay with" in stays
    [gone] = describe_changes(session(tmp_path, before("nomic-embed-text")))
    assert "nomic-embed-text is no longer among the models" in gone
    assert "`ragops collection set NAME --model MODEL` and `ragops ingest --rebuild NAME`" in gone
    [old] = describe_changes(session(tmp_path, {"embedder": "nomic-embed-text"}))  # an earlier release provisioned it
    assert old == gone


def test_from_search_by_words_alone_to_vectors_no_embedder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_words = {"embedder": "hashing-384-v1", "models": ""}
    assert describe_changes(session(tmp_path, by_words)) == ()
    made = [MadeWith("docs", "docs", True, "bm25", 0, None), MadeWith("old", "old", True, "hashing-384-v1", 384, None)]
    monkeypatch.setattr(model_changes, "count_chunks", lambda *_: {"docs": 12})
    database: Any = {"timescaledb": None}
    monkeypatch.setattr(model_changes._Used, "of", lambda _session: model_changes._Used(database, made))
    [text] = describe_changes(session(tmp_path, by_words))
    assert "docs (12 chunks) have no vectors" in text
    assert "`ragops ingest --rebuild docs`" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"model": "n"}, "m changes (model)"),
        ({"dimensions": 512}, "m changes (dimensions)"),
        ({"passage_prefix": "text: "}, "m changes (prefix of passages)"),
        ({"query_prefix": "q: ", "timeout": 5, "url": "http://b:2"}, ""),
    ],
)
@pytest.mark.parametrize("is_default", [True, False])
def test_settings_of_a_model_that_make_other_vectors(
    tmp_path: Path, changes: dict[str, Any], words: str, is_default: bool
) -> None:
    own = {"kind": "openai", "url": "http://a:1"}
    made = {"m": {"model": "m", "dimensions": None, "passage_prefix": ""}}
    if is_default and "model" in changes:
        words = "m is no longer among the models"  # it is another one
    api = {"embedder": {"model": "m", **own, **changes}} if is_default else {"models": {"m": {**own, **changes}}}
    default = "m" if is_default else "wordllama-l2-256-v2"
    found = describe_changes(session(tmp_path, {"embedder": default, "models": json.dumps(made)}, **api))
    assert len(found) == bool(words)
    assert words in "".join(found)
    assert not words or "`ragops ingest --rebuild NAME`" in found[0]


def test_what_another_language_means_is_said_before_it_changes(tmp_path: Path) -> None:
    german, options = {"search": {"language": "german"}}, {"embedder": "wordllama-l2-256-v2"}
    [said] = describe_changes(fake_session(tmp_path, german, options))
    assert said.startswith("search.language changes from english to german")
    assert "`ragops ingest --rebuild`" in said
    assert describe_changes(fake_session(tmp_path, german, {**options, "language": "german"})) == ()


def test_models_open_no_server_before_they_are_asked() -> None:
    specs = known_models(Settings.model_validate({"name": "test"}).api, Distribution.WHEEL)
    assert Models(specs, str)._opened == {}
