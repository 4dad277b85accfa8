"""The content of a repository at one time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.errors import RagopsError
    from ragops.recovery.point import RecoveryPoint


@dataclass(frozen=True)
class Listing:
    """The recovery points, newest first, and by id why others cannot be read."""

    points: tuple[RecoveryPoint, ...]
    unreadable: Mapping[str, RagopsError]

    @property
    def next_sequence(self) -> int:
        """The sequence number of the next recovery point."""
        return max((point.manifest.sequence for point in self.points), default=0) + 1

    def find_by_prefix(self, reference: str) -> list[RecoveryPoint]:
        """Return the points whose ids start with `reference`."""
        return [point for point in self.points if reference and point.id.startswith(reference)]

    def find_unreadable_by_prefix(self, reference: str) -> dict[str, RagopsError]:
        """Return the failures of unreadable points whose ids start with `reference`, by id."""
        return {id_: error for id_, error in self.unreadable.items() if reference and id_.startswith(reference)}

    def latest(self) -> RecoveryPoint | None:
        """Return the newest backup of a platform that was not down; safety points do not count."""
        return next((point for point in self.points if point.manifest.is_good), None)

    def newer_unreadable(self) -> dict[str, RagopsError]:
        """Return why points newer than `latest`, by the times in their ids, cannot be read."""
        newest = self.latest()
        return {id_: error for id_, error in self.unreadable.items() if newest is None or id_ > newest.id}

    def newer_unhealthy(self) -> tuple[RecoveryPoint, ...]:
        """Return the points newer than `latest` that were taken of a platform that was down."""
        newest = self.latest()
        return tuple(
            point
            for point in self.points
            if point.manifest.unhealthy and (newest is None or point.manifest.sequence > newest.manifest.sequence)
        )
