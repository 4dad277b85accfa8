"""What restores and repairs keep: databases, collections and folders that are no longer in use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragops.services.contract import Endpoint

_STAMP = re.compile(r"(\d{8})[Tt](\d{6})\d*$")
_LABEL = re.compile(r"\.(?:before|failed)-[a-z]+-\d{8}T\d{12}$")


@dataclass(frozen=True)
class Kept:
    """One of them: its `kind`, the time since when (None: unknown), its bytes, and the reason if it must stay.

    `name` is how its engine or its runtime finds it.
    """

    kind: str
    name: str
    since: datetime | None
    size: int = 0
    needed: str = ""


@runtime_checkable
class KeepsOwn(Protocol):
    """An engine that keeps things in the server itself."""

    def kept(self, endpoint: Endpoint) -> tuple[Kept, ...]:
        """List what is kept there. Raises RagopsError."""

    def drop_kept(self, endpoint: Endpoint, names: Sequence[str]) -> None:
        """Remove some of it for good. Raises RagopsError."""


@runtime_checkable
class KeepsFolders(Protocol):
    """A control that keeps data aside as folders next to the live one."""

    def list_kept(self) -> tuple[Kept, ...]:
        """List what was set aside. Raises RagopsError."""

    def remove_aside(self, name: str) -> None:
        """Remove one of them for good. Raises RagopsError (data_in_use)."""


def since(name: str) -> datetime | None:
    """Return the time (UTC) that a name ends with."""
    found = _STAMP.search(name)
    try:
        return datetime.strptime("".join(found.groups()), "%Y%m%d%H%M%S").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def is_aside(name: str, data: str) -> bool:
    """Whether the folder `name` is one that the folder `data` was set aside as."""
    return name.startswith(f"{data}.") and bool(_LABEL.fullmatch(name.removeprefix(data)))
