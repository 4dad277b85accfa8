"""Checks that the backup engines share: space, counts, engine and version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.errors import IntegrityError, MissingError
from ragops.hints import OTHER_POINT
from ragops.services.versions import Version
from ragops.units import size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.contract import Endpoint, Part


def need_space(
    doing: str, where: str, free: int | None, needed: int, hint: str = "free some space, then run the command again"
) -> None:
    """Raise MissingError (disk_full) if `free` bytes are known to be less than `needed`."""
    if free is not None and free < needed:
        what = f"{doing} needs {size(needed)} {where}, {size(free)} are free"
        raise MissingError("disk_full", what, hint)


def compare_counts(subject: str, expected: Mapping[str, int], found: Mapping[str, int]) -> None:
    """Raise IntegrityError (counts_differ) unless all counts are those of the manifest."""
    kinds = sorted(expected.keys() | found.keys())
    faults = [
        f"{kind}: {found.get(kind, 0)}, not {expected.get(kind, 0)}"
        for kind in kinds
        if found.get(kind, 0) != expected.get(kind, 0)
    ]
    if faults:
        what = f"{subject} has other counts than its manifest states: {', '.join(faults)}"
        raise IntegrityError("counts_differ", what, OTHER_POINT)


def engine_of(part: Part) -> str:
    """Return the name of the engine that wrote the part."""
    return next(iter(part.versions))


def check_engine(endpoint: Endpoint, part: Part) -> None:
    """Raise MissingError (engine_differs) if another engine wrote the part."""
    engine = engine_of(part)
    if engine != endpoint.engine:
        what = f"{part.name} was written by {engine} {part.versions[engine]}, this is {endpoint.engine}"
        raise MissingError("engine_differs", what, f"restore it into a platform that runs {engine}")


def check_major(part: Part, name: str, running: str) -> None:
    """Raise MissingError (engine_too_old) if the part is of a newer major version of `name` than the running one."""
    written = part.versions[name]
    if Version.of(written).major > Version.of(running).major:
        what = f"{part.name} was written by {name} {written}, {running} here is older"
        raise MissingError("engine_too_old", what, f"upgrade {name} to {written} or later first")
