"""Small values that every rendering of the policy is made of."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class TlsPair:
    """A certificate and its key, both PEM."""

    certificate: str
    key: str = field(repr=False)


def digest(value: object) -> str:
    """Return the mark of a configuration: 12 hexadecimal digits of its digest."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
