"""Copies that a restore proves before it replaces a collection: their names, and which of them count.

A copy is called `<collection>__ragops-restore`. When it is proven it gets an alias that names its files and its
collection, so that the run after one that was killed can use it. A collection that
could not be made again is answered for by its copy, through an alias of the collection's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.qdrant.paths import path_of
from ragops.services.qdrant.cluster.consensus import retry_consensus
from ragops.services.qdrant.names import PROVEN_PREFIX, RESTORE_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from ragops.adapters.qdrant.http import HttpClient

_LONGEST_NAME = 255
_NUMBER = re.compile(r"__\d+$")
_DIGEST = 12
CHANGE_SECONDS = 90.0


@dataclass(frozen=True)
class Copy:
    """A copy on the servers; `digest` of the files that it was proven against, empty if it was not.

    `base` is the collection that it is a copy of, empty if that cannot be determined; `aliases` are the users' aliases
    of it.
    """

    name: str
    base: str
    digest: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def stands_in(self) -> bool:
        """Whether it answers for its collection, which is away."""
        return self.base in self.aliases


def all_aliases(rest: HttpClient) -> dict[str, str]:
    """Every alias, ragops' own too, with what it stands for."""
    return {item["alias_name"]: item["collection_name"] for item in rest.get("/aliases")["aliases"]}


def all_names(rest: HttpClient) -> list[str]:
    """Every collection, ragops' own too."""
    return sorted(item["name"] for item in rest.get("/collections")["collections"])


def find(rest: HttpClient) -> dict[str, Copy]:
    """Return the copies on the servers, by their names."""
    return sort_out(all_names(rest), all_aliases(rest))


def sort_out(names: Iterable[str], aliases: Mapping[str, str]) -> dict[str, Copy]:
    """Return the copies among the collections `names`."""
    found, every = {}, frozenset(names)
    for name in sorted(every):
        if not name.endswith(RESTORE_SUFFIX):
            continue
        own = sorted(alias for alias, target in aliases.items() if target == name)
        marks = [alias.removeprefix(PROVEN_PREFIX) for alias in own if alias.startswith(PROVEN_PREFIX)]
        digest, _, base = marks[0].partition("-") if marks else ("", "", "")
        asked = tuple(alias for alias in own if not alias.startswith(PROVEN_PREFIX))
        found[name] = Copy(name, base or _base(name, every), digest, asked)
    return found


def _base(name: str, every: Container[str]) -> str:
    """Return the collection of an unproven copy, by its name without the number that it may have."""
    base = name.removesuffix(RESTORE_SUFFIX)
    return base if base in every else _NUMBER.sub("", base)


def mark(rest: HttpClient, copy: Copy) -> None:
    """Note on the servers that the copy is proven."""
    marker = f"{PROVEN_PREFIX}{copy.digest}-{copy.base}"
    if len(marker.encode()) > _LONGEST_NAME:
        marker = f"{PROVEN_PREFIX}{copy.digest}"
    change_aliases(rest, [creation(marker, copy.name)])


def free_name(collection: str, number: int, taken: Iterable[str]) -> str:
    """Return the name of a new copy of the `number`th collection; if it is too long or taken, with a number."""
    name = f"{collection}{RESTORE_SUFFIX}"
    if len(name.encode()) > _LONGEST_NAME:
        name = f"{number}{RESTORE_SUFFIX}"
    others, longest = set(taken), f"{collection}__{len(collection)}{RESTORE_SUFFIX}"
    base = collection if len(longest.encode()) <= _LONGEST_NAME else str(number)
    tries = (f"{base}__{other}{RESTORE_SUFFIX}" for other in range(2, len(others) + 3))
    return name if name not in others else next(one for one in tries if one not in others)


def short(digest: str) -> str:
    """Return a digest as marks hold it."""
    return digest[:_DIGEST]


def delete(rest: HttpClient, name: str) -> None:
    """Remove a collection."""
    retry_consensus(rest.within(CHANGE_SECONDS), "DELETE", path_of(name))


def change_aliases(rest: HttpClient, actions: list[dict[str, object]]) -> None:
    """In one request, which is carried out as a whole."""
    if actions:
        retry_consensus(rest.within(CHANGE_SECONDS), "POST", "/collections/aliases", {"actions": actions})


def creation(alias: str, collection: str) -> dict[str, object]:
    """Return the action that creates an alias, or moves it to another collection."""
    return {"create_alias": {"alias_name": alias, "collection_name": collection}}


def deletion(alias: str) -> dict[str, object]:
    """Return the action that removes an alias."""
    return {"delete_alias": {"alias_name": alias}}
