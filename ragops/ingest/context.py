"""What of a document goes with each of its chunks when they are searched: a passage alone does not name its subject."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import PurePath

_BETWEEN_WORDS = re.compile(r"[\W_]+")
_LEAD = 120  # characters of the beginning of a document


@lru_cache(maxsize=1024)
def path_words(path: str) -> str:
    """Return the words of a path, without the ending of the file."""
    return _BETWEEN_WORDS.sub(" ", str(PurePath(path).with_suffix(""))).strip() if path else ""


def lead_of(text: str) -> str:
    """Return the beginning of a document, which mostly is its title and its subject, from its first chunk."""
    return " ".join(text.split())[:_LEAD]


def with_context(content: str, *context: str) -> str:
    """Return a chunk's text below the context that it is searched with."""
    above = " ".join(part for part in context if part)
    return f"{above}\n{content}" if above else content
