"""Checks that the backup engines share: space, counts, engine and version."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ragops.errors import IntegrityError, MissingError
from ragops.hints import OTHER_POINT
from ragops.services.contract import Extent, Proof
from ragops.services.versions import Version
from ragops.units import size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ragops.services.contract import Endpoint, Part
    from ragops.services.control import Control


def need_space(
    action: str, where: str, free: int | None, needed: int, hint: str = "free some space, then run the command again"
) -> None:
    """Raise MissingError (disk_full) if `free` bytes are known to be less than `needed`."""
    if free is not None and free < needed:
        what = f"cannot {action}: it needs {size(needed)} {where}, {size(free)} are free"
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
        what = f"cannot accept {subject}: it has other counts than its manifest states: {', '.join(faults)}"
        raise IntegrityError("counts_differ", what, OTHER_POINT)


def engine_of(part: Part) -> str:
    """Return the name of the engine that wrote the part."""
    return next(iter(part.versions))


def check_engine(endpoint: Endpoint, part: Part) -> None:
    """Raise MissingError (engine_differs) if another engine wrote the part."""
    engine = engine_of(part)
    if engine != endpoint.engine:
        what = (
            f"cannot restore {part.name}: it was written by {engine} {part.versions[engine]}, this is {endpoint.engine}"
        )
        raise MissingError("engine_differs", what, f"restore it into a platform that runs {engine}")


def check_major(part: Part, name: str, running: str) -> None:
    """Raise MissingError (engine_too_old) if the part is of a newer major version of `name` than the running one."""
    written = part.versions[name]
    if Version.of(written).major > Version.of(running).major:
        what = f"cannot restore {part.name}: it was written by {name} {written}, {running} here is older"
        raise MissingError("engine_too_old", what, f"upgrade {name} to {written} or later first")


def prove_by_loading(
    verify: Callable[[Path, Part, Control], None],
    folder: Path,
    parts: Sequence[Part],
    control: Control,
    budget: float,
    loads: Callable[[Part], bool] = lambda _part: True,
) -> Proof:
    """Verify one part after the other while the budget lasts (seconds, 0: no limit), the first in any case.

    `loads` states of which parts `verify` has the engine load all that is in them. Raises as `verify` does.
    """
    started, proven = time.monotonic(), list[str]()
    left = [part.name for part in parts]
    for part in parts:
        if proven and budget and time.monotonic() - started > budget:
            break
        verify(folder, part, control)
        proven.append(part.name)
        left.remove(part.name)
    seconds = round(time.monotonic() - started, 3)
    if left:
        detail = f"the engine has loaded {len(proven)} of {len(parts)} files in the time there was"
        return Proof(Extent.SAMPLED, detail, seconds, tuple(proven), tuple(left))
    read = [part.name for part in parts if not loads(part)]
    if read:
        return Proof(Extent.READ, f"read, and not loaded by the engine: {', '.join(read)}", seconds)
    return Proof(Extent.RESTORED, "the engine has loaded every file, and the counts match", seconds, tuple(proven))
