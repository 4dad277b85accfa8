"""The embedder without a model: the same for ever, and nearer where words are shared."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from ragops.embedding import make
from ragops.embedding.hashing import HashingEmbedder
from ragops.embedding.spec import ModelSpec


def cosine(first: list[float], second: list[float]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))


def test_names_itself_and_has_the_length_it_says():
    embedder = HashingEmbedder()
    assert (embedder.name, embedder.dimensions) == ("hashing-384-v1", 384)
    assert len(embedder.embed(["some words"])[0]) == 384
    assert HashingEmbedder(64).name == "hashing-64-v1"


def test_is_the_same_in_every_process_and_for_ever():
    """Vectors that were stored last year must still fit: whoever changes the method changes its name."""
    [vector] = HashingEmbedder(8).embed(["Backup and restore"])
    third = 1 / 3  # the stems of two telling words, and their pair at half their weight
    assert sorted(map(abs, vector)) == pytest.approx([0, 0, 0, 0, 0, third, 2 * third, 2 * third])
    assert vector == HashingEmbedder(8).embed(["BACKUPS, restored"])[0]
    assert vector == pytest.approx([0, 0, third, -2 * third, 0, -2 * third, 0, 0])


@pytest.mark.parametrize("text", ["word", "Two words", "x" * 5000, "", "   ", "!!!", "naïve Ωmega", "\ud800", "a\x00b"])
def test_every_text_has_a_vector_of_length_one(text):
    [vector] = HashingEmbedder().embed([text])
    assert math.fsum(value * value for value in vector) == pytest.approx(1)


def test_shared_words_bring_texts_nearer_whatever_their_case_and_form():
    question, near, far, shouted = HashingEmbedder().embed(
        [
            "how to rotate the secret",
            "rotate the secret every month",
            "redis keeps snapshots",
            "HOW TO ROTATE \uff34\uff28\uff25 SECRET",
        ]
    )
    assert cosine(question, near) > cosine(question, far) + 0.2
    assert cosine(question, shouted) == pytest.approx(1)


def test_order_of_words_counts_a_little():
    first, second = HashingEmbedder().embed(["dog bites man", "man bites dog"])
    assert 0.5 < cosine(first, second) < 0.99


def test_made_by_kind():
    assert make(ModelSpec(kind="hashing")).name == "hashing-384-v1"
    served = ModelSpec(kind="ollama", model="nomic-embed-text", url="http://127.0.0.1:1", dimensions=768)
    assert make(served).dimensions == 768
    for wrong in ({"kind": "other"}, {"kind": "ollama"}, {"kind": "openai", "model": "m"}):
        with pytest.raises(ValidationError):
            ModelSpec.model_validate(wrong)
