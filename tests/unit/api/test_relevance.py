"""The quick look for words in a passage finds what a look at all of its words finds, and looks at few passages."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ragops.adapters.qdrant.searching import Hit
from ragops.api import relevance

_ASCII = (
    "the The rotation ROTATING rotate rot keys key keyed monkeys a_key key_a key2 don't cafe file strasse k ies -- / is"
    " it caching caches cach 1.5 ying flying flies fly"
)
_OTHERS = (
    "Stra\u00dfe x\u00b2 caf\u00e9 cafe\u0301 foo\u2122 don\u2019t \u201cquoted\u201d \u2026 \u2122 \ufb01le"
    " \u4f60\u597d \u0e3f \u0e01\u0e33 \u2014 i\u0307 \u0130stanbul e\u0301t\u00e9 \u0661\u0662 \u212a"
)
_PARTS = (*_ASCII.split(" "), *_OTHERS.split(" "), "\xa0", "a\xa0b")


def passage(text: str, number: int = 0, **payload: Any) -> Hit:
    return Hit(f"id-{number}", 1.0, {"text": text, "path": "", **payload})


@pytest.mark.parametrize("seed", range(40))
def test_quick_and_whole_look_find_the_same_words(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(50):
        text = dice.choice(("", " ")).join(dice.choices(_PARTS, k=dice.randint(1, 12)))
        question = " ".join(dice.choices(_PARTS, k=dice.randint(1, 4)))
        words, hit = relevance._words(question), passage(text)
        whole = relevance._all_words(f"  {text}")
        asked = relevance.QuestionWords(question)
        assert asked.has_word(hit) is (not words or not words.keys().isdisjoint(whole)), (question, text)
        shared = words.keys() & whole
        enough = len(shared) >= 0.25 * len(words) or sum(words[one] for one in shared) >= 0.25 * sum(words.values())
        assert asked.shares_words([hit]) is (not words or enough), (question, text)


def test_english_text_with_signs_is_searched_and_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relevance, "_all_words", lambda _text: pytest.fail("taken apart"))
    assert relevance.QuestionWords("rotation of keys").has_word(
        passage("\u201cRotations\u201d \u2014 don\u2019t\xa0forget\u2026", heading="A / B")
    )
    assert not relevance.QuestionWords("rotating keys").has_word(passage("nothing of monkeys, keyboards"))


def test_folding_looks_at_no_more_texts_than_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    key = relevance._key
    monkeypatch.setattr(relevance, "_key", lambda text, name: seen.append(text) or key(text, name))
    texts = ["One two three four", "one  two THREE four!", "one two three five", "other", "another"]
    found = relevance.fold([Hit(f"{number}", 1 - number / 10, {"text": text}) for number, text in enumerate(texts)])
    assert next(found).id == "0"
    assert not seen, "the first one is like no other"
    assert [one.id for one in found] == ["2", "3", "4"]
    assert set(seen) == set(texts[:3]), "texts that begin in another way are not compared"
