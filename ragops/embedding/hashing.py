"""A deterministic embedder without a model: words and pairs of words, hashed into a vector of fixed length.

It finds passages that share words with the question, nothing more; it needs no download and answers the same for ever.
Source of the method: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning" (2009).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEFAULT_DIMENSIONS = 384
_WORD = re.compile(r"\w+")
# Words that are in every English text distinguish no text from another; a text of nothing else keeps them.
_COMMON_WORDS = (
    "a about after all also an and any are as at be because been before being but by can could did do does for from had"
    " has have he her here his how i if in into is it its just like may me might more most my no not of on once only or"
    " other our out over own she should so some such than that the their them then there these they this those through"
    " to too under until up us use used using very was we were what when where which while who why will with would you"
    " your"
)
_COMMON = frozenset(_COMMON_WORDS.split())
_ENDINGS = re.compile(r"(?<=\w{3})(?:ies|ying|ing|ed|es|s|y|e)$")
_PAIR_WEIGHT = 0.5  # a pair of words means more than one, but seldom comes again


class HashingEmbedder:
    """Vectors of length 1 from word counts; a change of the method is a new version in `name`."""

    def __init__(self, dimensions: int = DEFAULT_DIMENSIONS) -> None:
        if dimensions < 1:
            raise ValueError("dimensions must be at least 1")
        self.dimensions = dimensions
        self.name = f"hashing-{dimensions}-v1"

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector for each text, in order; a text without words has one too."""
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        vector = [0.0] * self.dimensions
        for feature, count in Counter(_features(text)).items():
            place, weight = _slot(feature)
            vector[place % self.dimensions] += weight * math.sqrt(count)
        length = math.sqrt(math.fsum([value * value for value in vector if value]))
        if length == 0:  # features that cancelled out
            return [1.0] + [0.0] * (self.dimensions - 1)
        return [value / length for value in vector]


def is_common(word: str) -> bool:
    """Whether a word, in lower case, is in every English text."""
    return word in _COMMON


def stems(text: str) -> list[str]:
    """Return the stems of the words that carry a meaning, in their order; of all words if none does."""
    tokens = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return [strip_ending(word) for word in tokens if word not in _COMMON] or tokens


@lru_cache(maxsize=65536)
def strip_ending(word: str) -> str:
    """Return a word, in lower case, without its ending."""
    return _ENDINGS.sub("", word)


def _features(text: str) -> Iterator[str]:
    """Stems of the tokens that carry a meaning, and pairs of neighbours among them."""
    significant = stems(text)
    if not significant:
        yield text.strip()
    yield from significant
    for first, second in pairwise(significant):
        yield f"{first} {second}"


@lru_cache(maxsize=65536)
def _slot(feature: str) -> tuple[int, float]:
    """Where a feature goes and with which sign, so that what collides cancels out on average."""
    value = int.from_bytes(blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    weight = _PAIR_WEIGHT if " " in feature else 1.0
    return value >> 1, weight if value & 1 else -weight
