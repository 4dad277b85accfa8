"""Tables that fit the terminal: texts are wrapped, then columns that can be missed are left out.

An address, an id or a number is never broken: in two pieces it cannot be copied.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Columns of running text: wrapped first.
TEXTS = frozenset(
    {"CHANGED BY", "DETAIL", "ENGINE", "HOLDS", "NOTES", "ON", "USED BY", "VALUE", "VERSIONS", "WHAT", "WHY"}
    | {"WITHOUT IT"}
)
# Names that may be long: wrapped if leaving out columns was not enough.
NAMES = frozenset({"COLLECTION", "IMAGE", "KEPT", "NAME", "PART", "REMOVED", "REPOSITORY"})

_GAP = 2
_LEAST_NAME, _LEAST_TEXT = 12, 16
_LONGEST_WORD = 24  # longer ones are broken


@dataclass(frozen=True)
class Table:
    """Columns and rows that are shown, and the names of columns that had no room."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: tuple[str, ...] = ()

    def width(self, *, wrapped: frozenset[str] = frozenset()) -> int:
        """Return the columns of a terminal that the table needs, with those of `wrapped` as narrow as they can be."""
        return sum(self.least(column, wrapped) for column in self.columns) + _GAP * (len(self.columns) - 1)

    def least(self, column: str, wrapped: frozenset[str]) -> int:
        """Return the least width of one column: whole cells, or whole words if it is wrapped."""
        at = self.columns.index(column)
        cells = [column, *(row[at] for row in self.rows)]
        if column not in wrapped:
            return max(map(len, cells))
        if column in NAMES:
            return min(max(map(len, cells)), max(_LEAST_NAME, len(column)))
        words = [word for cell in cells for word in cell.split(" ")]
        return max(len(column), min(_LONGEST_WORD, max(map(len, words))))

    def widths(self, wrapped: frozenset[str], width: int) -> list[int]:
        """Return the width of each column in a terminal of `width`; names are given room first."""
        found = {column: self.least(column, wrapped) for column in self.columns}
        full = {column: self.least(column, frozenset()) for column in self.columns}
        room = width - self.width(wrapped=wrapped)
        for column in sorted(self.columns, key=lambda one: (one not in NAMES, full[one] - found[one])):
            more = max(0, min(room, full[column] - found[column]))
            found[column] += more
            room -= more
        return list(found.values())

    def without(self, column: str) -> Table:
        """Return the table without one column."""
        at = self.columns.index(column)
        rows = tuple(row[:at] + row[at + 1 :] for row in self.rows)
        return Table(self.columns[:at] + self.columns[at + 1 :], rows, (*self.left_out, column))

    def is_cramped(self, wrapped: frozenset[str], width: int) -> bool:
        """Return whether the texts of the last column have too little room next to the others."""
        if self.columns[-1] not in TEXTS:
            return False
        longest = max((len(row[-1]) for row in self.rows), default=0)
        return self.width(wrapped=wrapped) > width or self.widths(wrapped, width)[-1] < min(longest, _LEAST_TEXT)

    def split_last(self) -> tuple[Table, tuple[str, ...]]:
        """Return the table without its last column, and the cells of that column."""
        return replace(self.without(self.columns[-1]), left_out=self.left_out), tuple(row[-1] for row in self.rows)

    def plain(self) -> list[str]:
        """Return the lines of the table in full, of any length."""
        widths = [max(map(len, cells)) for cells in zip(self.columns, *self.rows, strict=True)]
        return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (self.columns, *self.rows)]


def fit(
    columns: Sequence[str], rows: Sequence[Sequence[str]], optional: Sequence[str], width: int
) -> tuple[Table, frozenset[str]]:
    """Return the table for a terminal of `width` columns, and which of its columns are to be wrapped.

    Of `optional` columns the first is left out first, and only as many as it takes.
    """
    table = Table(tuple(columns), tuple(tuple(row) for row in rows))
    for column in optional:
        if table.width(wrapped=TEXTS) <= width:
            break
        table = table.without(column)
    wrapped = TEXTS if table.width(wrapped=TEXTS) <= width else TEXTS | NAMES
    return table, wrapped
