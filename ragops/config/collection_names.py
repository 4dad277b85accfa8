"""The names that collections may have: each is a part of URLs, of paths in the vector store and of audit lines."""

from __future__ import annotations

import re

LONGEST = 255
RULE = (
    f"a name of up to {LONGEST} letters, digits, `_`, `-` and `.`, which begins with a letter, digit or `_` and is not"
    " reserved by ragops"
)
# A rebuild keeps rows and vectors under the name of its collection with a number after it, such as manuals@2.
USERS_OWN = "position('@' in name) = 0"  # in SQL: the rows that are no rebuild's
_BUILD = re.compile(r"(?P<name>.+)@(?P<number>[0-9]+)")
_USABLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")
# Collections of ragops' own in the vector store (services/qdrant/names.py).
_RESERVED = re.compile(r"ragops-health|ragops-proven-.*|.*__ragops-restore", re.IGNORECASE)


def is_usable(name: object) -> bool:
    """Return whether ingest, API and vector store take `name` for a collection."""
    return isinstance(name, str) and bool(_USABLE.fullmatch(name)) and not _RESERVED.fullmatch(name)


def fold(name: str) -> str:
    """Return a form that is the same for names that differ in case alone, which people and file systems mix up."""
    return name.casefold()


def is_build(name: str) -> bool:
    """Return whether rows or points of that name are a rebuild's."""
    return "@" in name


def base(name: str) -> str:
    """Return the collection of rows or points, without the number of a rebuild."""
    return name.partition("@")[0]


def build_number(points: str, name: str) -> int | None:
    """Return the number of a rebuild of the collection `name`, None if the points are not those of one."""
    found = _BUILD.fullmatch(points)
    return int(found["number"]) if found and found["name"] == name else None


def alias(name: str) -> str:
    """Return the alias that the vector store has for the points of a collection that was built again."""
    return f"{name}@live"


def build_name(name: str, number: int) -> str:
    """Return the name of a rebuild's rows and points."""
    return f"{name}@{number}"
