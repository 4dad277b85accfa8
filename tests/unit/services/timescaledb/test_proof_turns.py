"""Which tables a proof with little time restores first: all of them within a week of nights."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ragops.services.contract import Part
from ragops.services.timescaledb.backup import proof

if TYPE_CHECKING:
    from collections.abc import Iterable

NIGHTS = 7
DAY = datetime(2026, 3, 2, 2, tzinfo=UTC)


class Clock(datetime):
    """Stands at the night that the test says."""

    night = 0

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        del tz
        return DAY + timedelta(days=cls.night)


def part_of(tables: Iterable[str]) -> Part:
    return Part("rag.dump", DAY, {**{name: len(name) for name in tables}, "indexes": 1, "constraints": 1}, {})


@pytest.mark.parametrize("number", [1, 7, 30, 200])
def test_every_table_is_among_the_first_within_a_week(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "datetime", Clock)
    part = part_of(f"rag.table_{index}" for index in range(number))
    first: list[set[str]] = []
    for Clock.night in range(NIGHTS):
        order = proof._in_turn(part)
        assert sorted(order) == sorted(f"rag.table_{index}" for index in range(number)), "each night looks at all"
        first.append({name for name in order if order.index(name) < _due(order, Clock.night)})
    assert set.union(*first) == {f"rag.table_{index}" for index in range(number)}
    if number >= 30:
        assert len({tuple(sorted(names)) for names in first}) == NIGHTS, "another seventh each night"
        assert max(map(len, first)) < number / 2, "no night has to prove most of them"


def _due(order: list[str], night: int) -> int:
    """How many are due that night; they come first."""
    turns = [proof._turn(name, (DAY + timedelta(days=night)).toordinal()) for name in order]
    assert turns == sorted(turns)
    return turns.count(0)
