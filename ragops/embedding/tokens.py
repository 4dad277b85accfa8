"""How many tokens a text may have for a model whose tokenizer is not here: an estimate that is rather too high."""

from __future__ import annotations

import math
import re

# Models of words cut longer ones; digits and signs are tokens of their own; what is not ASCII costs up to its bytes.
_PARTS = re.compile(r"[A-Za-z]+|[ \t]+|\n+|[\x00-\x7f]|[^\x00-\x7f]")
_LETTERS_OF_TOKEN, _BYTES_OF_TOKEN = 4, 2


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
        return math.ceil(len(part.encode("utf-8", "replace")) / _BYTES_OF_TOKEN)
    if part[0].isalpha():
        return math.ceil(len(part) / _LETTERS_OF_TOKEN)
    return 0 if part[0] in " \t" and len(part) == 1 else 1
