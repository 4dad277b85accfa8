"""Which values of a secret are valid now: during a rotation there are two."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# `NAME.next` is a value that servers take already and nobody sends yet, `NAME.previous` one that they still take.
NEXT, PREVIOUS = ".next", ".previous"


def values(secrets: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Every value that a server takes, the one that consumers send first."""
    return (secrets[name], *(secrets[key] for key in (name + NEXT, name + PREVIOUS) if key in secrets))


def base(key: str) -> str:
    """The name of the secret that `key` holds a value of."""
    return key.removesuffix(NEXT).removesuffix(PREVIOUS)
