"""Which values of a secret are valid now: during a rotation there are two."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# `NAME.next` is a value that servers take already and no client sends yet, `NAME.previous` one that they still take.
NEXT, PREVIOUS = ".next", ".previous"
UNTIL = ".until"  # `NAME.until` is when the previous one ends (ISO 8601), if it is kept for a while


def values(secrets: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Every value that a server takes, the one that consumers send first."""
    return (secrets[name], *(secrets[key] for key in (name + NEXT, name + PREVIOUS) if key in secrets))[:2]


def drop_expired(secrets: Mapping[str, str], now: datetime) -> dict[str, str]:
    """Return the secrets without previous values whose time is over."""
    over = {base(key) for key, until in secrets.items() if key.endswith(UNTIL) and datetime.fromisoformat(until) <= now}
    gone = {name + suffix for name in over for suffix in (PREVIOUS, UNTIL)}
    return {key: value for key, value in secrets.items() if key not in gone}


def base(key: str) -> str:
    """Return the name of the secret that `key` holds a value of."""
    return key.removesuffix(NEXT).removesuffix(PREVIOUS).removesuffix(UNTIL)
