"""Proof of parts by engines that have one way to read a file, which is to load it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ragops.services.contract import Extent, Proof

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ragops.services.contract import Part
    from ragops.services.control import Control


def prove_by_loading(
    verify: Callable[[Path, Part, Control], None],
    folder: Path,
    parts: Sequence[Part],
    control: Control,
    budget: float,
    loads: Callable[[Part], bool] = lambda _part: True,
) -> Proof:
    """Verify one part after the other while the budget lasts (seconds, 0: no limit), the first in any case.

    `loads` says of which parts `verify` has the engine load all that is in them. Raises as `verify` does.
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
