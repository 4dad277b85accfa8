"""What is wrong with a ragops.yaml is said in the words of its own keys."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from ragops.config.load import load
from ragops.errors import InvalidInputError

# Words of the validating library, which a reader of ragops.yaml has no use for.
FOREIGN = ("Input should", "Extra inputs", "Field required", "valid", "String should", "parsing", "unable", "pydantic")


def problems_of(text: str, folder: Path) -> list[str]:
    file = folder / "ragops.yaml"
    file.write_text("name: rag\n" + text)
    with pytest.raises(InvalidInputError) as caught:
        load(file, None, {})
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("redis: {max_memory: 1gb}\n", "did you mean redis.maxmemory?"),
        ("redis: {maxmemmory: 1gb}\n", "did you mean redis.maxmemory?"),
        ("redis: {Port: 6400}\n", "did you mean redis.port?"),
        ("gatway: {port: 8000}\n", "did you mean gateway?"),
        ("runtimes: docker\n", "did you mean runtime?"),
        ("gateway: {tls-port: 8443}\n", "did you mean gateway.tls_port?"),
        ("backup: {keep: {dayly: 3}}\n", "did you mean backup.keep.daily?"),
        ("backup: {copies: [{ur: /x}]}\n", "did you mean backup.copies.0.url?"),
        ("api: {models: {mini: {dimension: 5}}}\n", "did you mean api.models.mini.dimensions?"),
        ("maxmemory: 1gb\n", "did you mean redis.maxmemory?"),
        ("tls_port: 8443\n", "did you mean gateway.tls_port?"),
        ("expose: {kafka: 0.0.0.0}\n", "known here: gateway, api, ollama, qdrant"),
    ],
)
def test_the_key_that_was_meant_is_named(text: str, meant: str, tmp_path: Path) -> None:
    assert any("is not a known key" in problem and meant in problem for problem in problems_of(text, tmp_path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gateway: {port: x}\n", "gateway.port: should be a whole number"),
        ("gateway: {port: 80}\n", "gateway.port: should be at least 1024"),
        ("gateway: {port: 70000}\n", "gateway.port: should be at most 65535"),
        ("gateway: {port: 8000.5}\n", "gateway.port: should be a whole number"),
        ("gateway: {tls: perhaps}\n", "gateway.tls: should be true or false"),
        ("gateway: {origins: nothing}\n", "gateway.origins: should be a list"),
        ("gateway: {legacy_sunset: soon}\n", "gateway.legacy_sunset: should be a date"),
        ("runtime: kubernetes\n", "runtime: should be 'embedded' or 'docker'"),
        ("redis: 6379\n", "redis: should have keys and values"),
        ("gateway: {rate_limit: {per: hour}}\n", "gateway.rate_limit.per: should be 'second' or 'minute'"),
        ("data_dir: 7\n", "data_dir: should be a text"),
        ("backup: {repository: 7}\n", "should be a folder or a URL"),
    ],
)
def test_a_wrong_value_is_told_in_our_words(text: str, words: str, tmp_path: Path) -> None:
    found = problems_of(text, tmp_path)
    assert any(words in problem for problem in found), found
    assert not [problem for problem in found for word in FOREIGN if word in problem]


def test_a_missing_name_is_told(tmp_path: Path) -> None:
    file = tmp_path / "ragops.yaml"
    file.write_text("runtime: embedded\n")
    with pytest.raises(InvalidInputError, match="name: is missing"):
        load(file, None, {})


def test_the_hint_is_a_page_that_exists(tmp_path: Path) -> None:
    (tmp_path / "ragops.yaml").write_text("name: rag\nkafka: {}\n")
    with pytest.raises(InvalidInputError) as caught:
        load(tmp_path / "ragops.yaml", None, {})
    url = next(word.rstrip(",") for word in caught.value.hint.split() if word.startswith("file:"))
    assert Path(unquote(urlsplit(url).path)).is_file()
