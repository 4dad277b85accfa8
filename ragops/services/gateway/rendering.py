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
    """What tells one configuration from another: 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
