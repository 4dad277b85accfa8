"""How many tokens a text may have for a model whose tokenizer is not here: an estimate that is rather too high."""

from __future__ import annotations

import math
import re

# Tokenizers cut longer words, and what is no word of a language (keys, base64) into smaller parts. Digits and signs are
# tokens of their own; what is not ASCII costs up to its bytes, which is what emoji and syllables of Korean cost.
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[ \t]+|\n+|[\x00-\x7f]|[^\x00-\x7f]")
_LETTERS_OF_TOKEN, _CAPITALS_OF_TOKEN, _UNKNOWN_LETTERS_OF_TOKEN, _BYTES_OF_TOKEN = 4, 3, 2, 2
_LONGEST_WORD = 20


def count_tokens(text: str) -> int:
    """Return an upper estimate of a text's tokens."""
    return sum(_cost(found[0]) for found in _PARTS.finditer(text))


def cut_to_tokens(text: str, most: int) -> str:
    """Return the beginning of a text that has at most about `most` tokens."""
    left = most
    for found in _PARTS.finditer(text):
        left -= _cost(found[0])
        if left < 0:
            return text[: found.start()]
    return text


def _cost(part: str) -> int:
    if part[0] > "\x7f":
        size = len(part.encode("utf-8", "replace"))
        return size if size > 3 or "\uac00" <= part[0] <= "\ud7a3" else math.ceil(size / _BYTES_OF_TOKEN)
    if part[0].isalpha():
        letters = _CAPITALS_OF_TOKEN if part.isupper() else _LETTERS_OF_TOKEN
        return math.ceil(len(part) / (_UNKNOWN_LETTERS_OF_TOKEN if len(part) > _LONGEST_WORD else letters))
    return 0 if part[0] in " \t" and len(part) == 1 else 1
