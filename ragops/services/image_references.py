"""References of images and sizes of memory in the services' settings."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import StringConstraints

# A reference as Docker takes it, checked for what would never be one; empty: the pinned image.
Reference = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9._/:@-]*)?$", max_length=300)]

# Powers of 1024, as Redis and PostgreSQL count; empty: what the service derives from its other settings.
Size = Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]*([kK]|[mM]|[gG])[bB])?$")]

_UNITS = {"k": 10, "m": 20, "g": 30}


def size_bytes(size: str) -> int:
    """Bytes of a `Size` such as 256mb; 0 for an empty one."""
    return int(size[:-2]) << _UNITS[size[-2].lower()] if size else 0


def tag(reference: str) -> str:
    """Return the tag of an image's reference, empty without one."""
    name = reference.partition("@")[0].rpartition("/")[2]
    return name.partition(":")[2]


def tag_version(reference: str) -> str:
    """Return the version that the tag begins with (8.0.2 of redis:8.0.2-alpine), empty without one."""
    found = re.match(r"v?([0-9]+(?:\.[0-9]+)*)", tag(reference))
    return found[1] if found else ""
