"""List the recovery points of all repositories, from cached manifests."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ragops.recovery.point import Listing, RecoveryPoint
    from ragops.recovery.repositories import Repositories


@dataclass(frozen=True)
class Line:
    """A recovery point in a list; `whole` states for each repository whether it has it whole (None: not at all)."""

    point: RecoveryPoint
    whole: Mapping[str, bool | None]
    signer_known: bool


@dataclass(frozen=True)
class Overview:
    """All recovery points of all repositories, newest first, what cannot be read, and repositories out of reach."""

    lines: tuple[Line, ...]
    unreadable: tuple[tuple[str, RagopsError], ...]
    unreachable: tuple[tuple[str, RagopsError], ...]


def overview(repos: Repositories, repository: str | None = None) -> Overview:
    """Return what there is, in one repository or in all. Raises RagopsError if none can be reached."""
    chosen = (repos.repository(repository),) if repository else repos.members
    listings: dict[str, Listing] = {}
    unreachable: list[tuple[str, RagopsError]] = []
    for item in chosen:
        try:
            listings[item.name] = item.list_cached()
        except RagopsError as error:
            unreachable.append((item.name, error))
    if not listings:
        raise unreachable[0][1]
    found: dict[str, dict[str, RecoveryPoint]] = {}
    for name, listing in listings.items():
        for point in listing.points:
            found.setdefault(point.id, {})[name] = point
    trusted = repos.trusted_keys()
    lines = [_line(places, list(listings), trusted) for places in found.values()]
    lines.sort(key=lambda line: (line.point.manifest.sequence, line.point.manifest.created), reverse=True)
    unreadable = tuple(item for listing in listings.values() for item in listing.unreadable.items())
    return Overview(tuple(lines), unreadable, tuple(unreachable))


def each_id(repos: Repositories) -> Iterator[str]:
    """Yield the ids in all repositories, newest first, near repositories before remote ones.

    One listing of each; nothing is read or checked. A repository that cannot be reached is left out.
    """
    seen: set[str] = set()
    for repository in sorted(repos.members, key=lambda one: one.store.is_remote):
        with contextlib.suppress(RagopsError):
            for ident in sorted(set(repository.list_ids()) - seen, reverse=True):
                seen.add(ident)
                yield ident


def _line(places: Mapping[str, RecoveryPoint], names: Sequence[str], trusted: frozenset[str]) -> Line:
    whole = {name: not places[name].find_faults() if name in places else None for name in names}
    point = next(iter(places.values()))
    return Line(point, whole, point.signed.signature.key in trusted)
