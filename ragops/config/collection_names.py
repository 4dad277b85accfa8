"""The names that collections may have: each is a part of URLs, of paths in the vector store and of audit lines."""

from __future__ import annotations

import re

LONGEST = 255
RULE = (
    f"a name of up to {LONGEST} letters, digits, `_`, `-` and `.`, which begins with a letter, digit or `_` and is none"
    " of ragops' own"
)
_USABLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")
# Collections of ragops' own in the vector store (services/qdrant/names.py).
_RESERVED = re.compile(r"ragops-health|ragops-proven-.*|.*__ragops-restore", re.IGNORECASE)


def is_usable(name: object) -> bool:
    """Return whether ingest, API and vector store take `name` for a collection."""
    return isinstance(name, str) and bool(_USABLE.fullmatch(name)) and not _RESERVED.fullmatch(name)


def fold(name: str) -> str:
    """Return a form that is the same for names that differ in case alone, which people and file systems mix up."""
    return name.casefold()
