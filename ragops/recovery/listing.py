"""The content of a repository at one time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragops.errors import RagopsError
    from ragops.recovery.point import RecoveryPoint


@dataclass(frozen=True)
class Listing:
    """The recovery points, newest first, and what else lies there that cannot be read as one."""

    points: tuple[RecoveryPoint, ...]
    unreadable: tuple[RagopsError, ...]
    unreadable_ids: tuple[str, ...] = ()

    @property
    def next_sequence(self) -> int:
        """Of the one that comes next."""
        return max((point.manifest.sequence for point in self.points), default=0) + 1

    def find_by_prefix(self, reference: str) -> list[RecoveryPoint]:
        """Return the points whose ids start with `reference`."""
        return [point for point in self.points if reference and point.id.startswith(reference)]

    def find_unreadable_by_prefix(self, reference: str) -> dict[str, RagopsError]:
        """Return the failures of unreadable points whose ids start with `reference`, by id."""
        known = zip(self.unreadable_ids, self.unreadable, strict=True)
        return {ident: error for ident, error in known if reference and ident.startswith(reference)}

    def latest(self) -> RecoveryPoint | None:
        """Return the newest backup of a platform that was not down; safety points do not count."""
        return next((point for point in self.points if point.manifest.is_good), None)

    def newer_unreadable(self) -> dict[str, RagopsError]:
        """Those that cannot be read and are newer than `latest`, and why.

        Newer by the time in their ids; the order in which they were taken cannot be read.
        """
        newest = self.latest()
        known = zip(self.unreadable_ids, self.unreadable, strict=True)
        return {ident: error for ident, error in known if newest is None or ident > newest.id}

    def newer_unhealthy(self) -> tuple[RecoveryPoint, ...]:
        """Return the points newer than `latest` that were taken of a platform that was down."""
        newest = self.latest()
        return tuple(
            point
            for point in self.points
            if point.manifest.unhealthy and (newest is None or point.manifest.sequence > newest.manifest.sequence)
        )
