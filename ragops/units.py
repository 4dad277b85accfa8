"""Sizes, times and lists as a person reads them: one style in messages, tables and checks."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_DURATION = re.compile(rf"\s*(\d{{1,5}})\s*({'|'.join(_SECONDS)})\s*")
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)


def size(number: float) -> str:
    """Return bytes in B, KiB, MiB or GiB: `104.9 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.1f} {unit}" if unit == "MiB" else f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def duration(seconds: float) -> str:
    """Return seconds in s, min, h or d: `0.4 s`, `45 s`, `12 min`."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172800 else f"{seconds / 86400:.0f} d"


def parse_size(text: str) -> int | None:
    """Return the bytes of a size such as `20MiB`, `1.5 GB`, `4096`, None if it is none; `k` and `Ki` mean the same."""
    found = _SIZE.fullmatch(text)
    return round(float(found[1]) * 1024 ** " kmgt".index(found[2].lower() or " ")) if found else None


def parse_duration(text: str) -> timedelta | None:
    """Return the time of `30s`, `10m`, `12h`, `7d`, `2w` or `1y` (365 days), None if it is none."""
    found = _DURATION.fullmatch(text)
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]]) if found else None


def first_of(names: Sequence[str], most: int) -> str:
    """Return the first `most` names and the number of the others: `a, b and 3 more`."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
