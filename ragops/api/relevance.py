"""What of the passages that were found is shown: each text once, and those that have words of the question.

Both look at no more passages than are shown, best first: a passage costs as much as all the rest of a search.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from ragops.adapters.qdrant.sparse import UNSPACED
from ragops.embedding.hashing import is_common, stems, strip_ending

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ragops.adapters.qdrant.searching import Hit

# Of the question's words, the share that the best passage has to have; else only its vector can make it count.
LEAST_SHARE = 0.25
_LOOKED_AT = 10
_STEM = 6  # letters: endings differ from language to language
_NOT_A_WORD = re.compile(r"\W+")
_WORD = re.compile(r"\w+")
_FIRST_WORDS = re.compile(r"\W*(\w+)\W*(\w*)\W*(\w*)")
_UNSPACED = re.compile(f"[{UNSPACED}]")
_FOREIGN_LETTER = re.compile(rf"[^\W\x00-\x7f]|[{UNSPACED}]")


def fold(hits: Sequence[Hit]) -> Iterator[Hit]:
    """Yield the hits best first, without those whose text differs from a better one's in space and signs alone."""
    seen: dict[tuple[str, ...], list[tuple[str, str]]] = {}  # few texts begin with the same words as another
    for hit in sorted(hits, key=lambda one: (-one.score, one.id)):
        text = str(hit.payload.get("text", ""))
        first = _FIRST_WORDS.match(text)
        alike = seen.setdefault(tuple(word.casefold() for word in first.groups()) if first else (), [])
        if not alike or _key(text, hit.id) not in {_key(*other) for other in alike}:
            alike.append((text, hit.id))
            yield hit


def _key(text: str, identifier: str) -> str:
    return _NOT_A_WORD.sub(" ", text).strip().casefold() or text or identifier


class QuestionWords:
    """The words of a question, to be looked for in passages."""

    def __init__(self, question: str) -> None:
        self._words = _words(question)
        self._texts: dict[str, str | set[str]] = {}

    def shares_words(self, hits: Sequence[Hit]) -> bool:
        """Whether one of the best passages has enough of the words; true for a question without words.

        Enough is a quarter of them by number or by letters: in a language whose stop words are not known here, those
        are many and short.
        """
        return not self._words or any(self._has_enough(hit) for hit in hits[:_LOOKED_AT])

    def has_word(self, hit: Hit) -> bool:
        """Whether a passage has one of the words; true for a question without words."""
        if not self._words:
            return True
        text = self._text(hit)
        return any(_has(text, word) for word in self._words)

    def _has_enough(self, hit: Hit) -> bool:
        text = self._text(hit)
        shared = [letters for word, letters in self._words.items() if _has(text, word)]
        return len(shared) >= LEAST_SHARE * len(self._words) or sum(shared) >= LEAST_SHARE * sum(self._words.values())

    def _text(self, hit: Hit) -> str | set[str]:
        """Return the text of a passage to search in, or all its words if letters have more than one spelling there."""
        found = self._texts.get(hit.id)
        if found is None:
            text = " ".join(str(hit.payload.get(name) or "") for name in ("path", "heading", "text"))
            found = self._texts[hit.id] = _searchable(text) or _all_words(text)
        return found


def _searchable(text: str) -> str:
    """Return a text in lower case if its words are of ASCII letters alone, else nothing."""
    if not text.isascii():
        text = text.replace("\xa0", " ").replace("\u2026", " ")  # their normal forms are signs, too
        if _FOREIGN_LETTER.search(text) or not unicodedata.is_normalized("NFKC", text):
            return ""
    return text.casefold()


def _all_words(text: str) -> set[str]:
    """Return the words of a passage, those without a meaning too: a question may have no others."""
    return {*_words(text), *map(_stem, _NOT_A_WORD.sub(" ", text).casefold().split())}


def _has(text: str | set[str], word: str) -> bool:
    """Whether a text has a word, by its stem. A stem is how a word begins, so that nothing else need be looked at."""
    if isinstance(text, set):
        return word in text
    at = text.find(word)
    while at >= 0:
        if at == 0 or not (text[at - 1].isalnum() or text[at - 1] == "_"):
            token = _WORD.match(text, at)
            if token and word in _forms(token[0]):
                return True
        at = text.find(word, at + 1)
    return False


@lru_cache(maxsize=65536)
def _forms(word: str) -> tuple[str, ...]:
    """Return the stems that one word of a text counts as."""
    return (_stem(word),) if is_common(word) else (_stem(word), _stem(strip_ending(word)))


def _words(text: str) -> dict[str, int]:
    """Return the stems of the words of a text, with the letters of the words."""
    spaced = {_stem(word): len(word) for word in stems(_UNSPACED.sub(" ", text))}
    return spaced | dict.fromkeys(_UNSPACED.findall(text), 1)


@lru_cache(maxsize=65536)
def _stem(word: str) -> str:
    """Return the beginning of a word, without accents."""
    if not word.isascii():
        letters = unicodedata.normalize("NFKD", word)
        word = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return word[:_STEM]
