"""Small values that every rendering of the policy is made of."""

from __future__ import annotations

import hashlib
import json
from typing import Any

Json = dict[str, Any]


def digest(value: object) -> str:
    """What tells one configuration from another: 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
