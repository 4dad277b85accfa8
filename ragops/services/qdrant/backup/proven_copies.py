"""The copies that a restore proves before it replaces a collection, and the users' collections among all.

A copy is called `<collection>__ragops-restore`. A proven copy gets an alias with the digest of its files and the name
of its collection, so that a later run can use it. If a collection cannot be created again its copy stands in: an
alias with the name of the collection points to the copy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.services.qdrant.names import PROVEN_PREFIX, RESTORE_SUFFIX, is_internal

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from ragops.adapters.qdrant.http import HttpClient
    from ragops.adapters.qdrant.node_client import NodeClient

_LONGEST_NAME = 255
_NUMBER = re.compile(r"__\d+$")
_DIGEST = 12


@dataclass(frozen=True)
class Copy:
    """A copy on the servers; `digest` of the files that it was proven against, empty if it was not proven.

    `base` is its collection, empty if that cannot be determined; `aliases` are its aliases by users.
    """

    name: str
    base: str
    digest: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def stands_in(self) -> bool:
        """Return whether it answers for its collection, which is away."""
        return self.base in self.aliases

    def describe_need(self, live: Container[str]) -> str:
        """Return why it must stay, by the collections that are there; empty if it may go."""
        if self.stands_in:
            return f"it answers for {self.base}"
        return "" if self.base in live else f"{self.base or 'its collection'} is away"


def find(client: HttpClient, names: Iterable[str] | None = None) -> dict[str, Copy]:
    """Return the copies on the servers by their names; `names` are those of all collections, if they are known."""
    every = client.collection_names() if names is None else names
    return sort_out(every, client.aliases()) if any(name.endswith(RESTORE_SUFFIX) for name in every) else {}


def user_collections(client: HttpClient) -> list[str]:
    """Return the names of users' collections, also of those that the copy of a restore answers for."""
    every = client.collection_names()
    stand_ins = (copy.base for copy in find(client, every).values() if copy.stands_in)
    return sorted({*(name for name in every if not is_internal(name)), *stand_ins})


def user_aliases(client: HttpClient) -> dict[str, str]:
    """Return the aliases of users' collections, with their collections."""
    stand_ins = {copy.name: copy.base for copy in find(client).values() if copy.stands_in}
    named = {alias: stand_ins.get(name, name) for alias, name in client.aliases().items()}
    return {
        alias: name
        for alias, name in named.items()
        if alias != name and not is_internal(name) and not is_internal(alias)
    }


def sort_out(names: Iterable[str], aliases: Mapping[str, str]) -> dict[str, Copy]:
    """Return the copies among the collections `names`."""
    found, every = {}, frozenset(names)
    for name in sorted(every):
        if not name.endswith(RESTORE_SUFFIX):
            continue
        own = sorted(alias for alias, target in aliases.items() if target == name)
        marks = [alias.removeprefix(PROVEN_PREFIX) for alias in own if alias.startswith(PROVEN_PREFIX)]
        digest, _, base = marks[0].partition("-") if marks else ("", "", "")
        users = tuple(alias for alias in own if not alias.startswith(PROVEN_PREFIX))
        found[name] = Copy(name, base or _base(name, every), digest, users)
    return found


def _base(name: str, every: Container[str]) -> str:
    """Return the collection of an unproven copy, by its name without the number that it may have."""
    base = name.removesuffix(RESTORE_SUFFIX)
    return base if base in every else _NUMBER.sub("", base)


def mark(client: NodeClient, copy: Copy) -> None:
    """Mark the copy as proven, on the servers."""
    marker = f"{PROVEN_PREFIX}{copy.digest}-{copy.base}"
    if len(marker.encode()) > _LONGEST_NAME:
        marker = f"{PROVEN_PREFIX}{copy.digest}"
    client.change_aliases({marker: copy.name})


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
    """Return the beginning of a digest, as marks hold it."""
    return digest[:_DIGEST]
