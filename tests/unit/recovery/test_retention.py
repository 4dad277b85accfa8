"""Which recovery points stay; whatever happens, the newest good one does."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ragops.config.backup import KeepSettings
from ragops.errors import MissingError
from ragops.recovery.manifest import Kind
from ragops.recovery.repository import Repository
from ragops.recovery.retention import apply_policy
from ragops.recovery.signing import SigningKey
from tests.backup_helpers import MemoryStore, put_point

KEY, OTHER = SigningKey(Ed25519PrivateKey.generate()), SigningKey(Ed25519PrivateKey.generate())
START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)  # a Monday
DAY = timedelta(days=1)


class History:
    """Recovery points in the order in which they are taken."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.repository = Repository(self.store, "default")
        self.count = 0

    def take(
        self,
        at: datetime,
        kind: Kind = Kind.BACKUP,
        key: SigningKey = KEY,
        *,
        damaged: bool = False,
        down: str = "",
        **more: Any,
    ) -> str:
        self.count += 1
        marks = (down,) if down else ()
        point = put_point(self.repository, key, sequence=self.count, created=at, kind=kind, unhealthy=marks, **more)
        if damaged:
            self.store.remove([f"{point.path}/{point.manifest.parts[0].stored_path}"])
        return point.id

    def daily(self, days: int) -> list[str]:
        return [self.take(START + number * DAY) for number in range(days)]

    def keep(self, ident: str) -> None:
        self.repository.set_pinned(self.repository.get(ident), keep=True)

    def staying(self, *protected: str, **rule: int) -> dict[str, str]:
        """Why each of those stays that do, newest first."""
        verdicts = apply_policy(self.repository.list().points, KeepSettings(**rule), {KEY.public}, protected)
        assert len(verdicts) == self.count
        return {verdict.point.id: verdict.reason for verdict in verdicts if verdict.keep}

    def why(self, ident: str, **rule: int) -> str:
        verdicts = apply_policy(self.repository.list().points, KeepSettings(**rule), {KEY.public})
        return next(verdict.reason for verdict in verdicts if verdict.point.id == ident)


@pytest.fixture
def history() -> History:
    return History()


def test_seven_days_if_nothing_else_is_said(history: History) -> None:
    taken = history.daily(10)
    assert list(history.staying()) == taken[:2:-1]


def test_the_newest_of_each_day_stays(history: History) -> None:
    taken = [history.take(START + number * timedelta(hours=6)) for number in range(12)]  # 02, 08, 14, 20 of 3 days
    assert list(history.staying(daily=2)) == [taken[11], taken[7]]
    assert history.why(taken[10], daily=2) == "beyond what is kept"


def test_days_without_one_do_not_count(history: History) -> None:
    taken = [history.take(START + number * 30 * DAY) for number in range(5)]
    assert list(history.staying(daily=3)) == [taken[4], taken[3], taken[2]]


def test_weeks_are_of_the_calendar_and_months_too(history: History) -> None:
    taken = history.daily(70)  # 2 March to 10 May, which is a Sunday
    by_day = {START.date() + number * DAY: ident for number, ident in enumerate(taken)}

    def of(month: int, day: int) -> str:
        return by_day[datetime(2026, month, day, tzinfo=UTC).date()]

    assert list(history.staying(daily=0, weekly=3)) == [of(5, 10), of(5, 3), of(4, 26)]
    assert list(history.staying(daily=0, monthly=3)) == [of(5, 10), of(4, 30), of(3, 31)]
    both = history.staying(daily=2, weekly=2, monthly=2)
    assert list(both) == [of(5, 10), of(5, 9), of(5, 3), of(4, 30)]
    assert (
        both[of(5, 10)] == "the newest good one, the newest of its day, the newest of its week, the newest of its month"
    )
    assert both[of(5, 3)] == "the newest of its week"


def test_a_week_over_new_year_is_one_week(history: History) -> None:
    taken = [history.take(datetime(2026, 12, 28, tzinfo=UTC) + number * DAY) for number in range(7)]  # ISO week 53
    assert list(history.staying(daily=0, weekly=5)) == [taken[6]]


def test_nothing_wanted_leaves_the_newest_good_one(history: History) -> None:
    taken = history.daily(5)
    assert history.staying(daily=0) == {taken[4]: "the newest good one"}


def test_a_clock_that_was_set_back_hides_nothing_new(history: History) -> None:
    """The newest is the last one taken, though it says that it is of last year."""
    old = history.daily(5)
    new = [history.take(START - 365 * DAY + number * DAY) for number in range(2)]
    assert next(iter(history.staying(daily=1))) == new[1]
    assert list(history.staying(daily=3)) == [new[1], new[0], old[4]]


def test_a_clock_that_was_ahead_once_does_not_push_out_what_comes_after(history: History) -> None:
    ahead = history.take(START + 4000 * DAY)
    after = history.daily(3)
    assert list(history.staying(daily=2)) == [after[2], after[1]]
    assert ahead not in history.staying(daily=3)


def test_marked_ones_stay_and_take_no_place(history: History) -> None:
    taken = history.daily(6)
    history.keep(taken[0])
    assert history.staying(daily=2) == {
        taken[5]: "the newest good one, the newest of its day",
        taken[4]: "the newest of its day",
        taken[0]: "marked keep",
    }


def test_what_an_interrupted_restore_needs_stays(history: History) -> None:
    taken = history.daily(4)
    assert history.staying(taken[0], daily=1)[taken[0]] == "the last one taken here, or an interrupted restore needs it"


def test_the_way_back_of_a_restore_fills_no_place_and_stays_for_as_many_days(history: History) -> None:
    taken = history.daily(5)
    old = history.take(START + 4 * DAY, Kind.SAFETY)
    young = history.take(START + 8 * DAY, Kind.SAFETY)
    last = history.take(START + 9 * DAY)
    found = history.staying(daily=3)
    assert found[young] == "the safety point of a restore"
    assert old not in found
    assert {ident for ident in found if ident != young} == {last, taken[4], taken[3]}


def test_safety_points_alone_are_left_alone(history: History) -> None:
    taken = [history.take(START + number * 30 * DAY, Kind.SAFETY) for number in range(3)]
    assert set(history.staying(daily=1)) == set(taken)


def test_a_damaged_newest_one_takes_no_good_ones_place(history: History) -> None:
    taken = history.daily(3)
    damaged = history.take(START + 3 * DAY, damaged=True)
    found = history.staying(daily=1)
    assert list(found) == [taken[2]]
    assert history.why(damaged, daily=1) == "damaged"


def test_where_all_are_damaged_none_is_removed(history: History) -> None:
    taken = [history.take(START + number * DAY, damaged=True) for number in range(5)]
    assert set(history.staying(daily=1)) == set(taken)


def test_strangers_points_are_neither_counted_nor_removed(history: History) -> None:
    ours = history.daily(3)
    theirs = history.take(START + 3 * DAY, key=OTHER)
    found = history.staying(daily=1)
    assert found == {theirs: "signed with another key: not ours to remove", ours[2]: found[ours[2]]}


def test_nothing_at_all(history: History) -> None:
    assert history.staying() == {}


# --- whatever happens ------------------------------------------------------------------------------------------


def some_history(chance: random.Random) -> tuple[History, dict[str, Any]]:
    history, at = History(), START
    facts: dict[str, Any] = {"good": [], "kept": set(), "strange": set(), "protected": set()}
    for _ in range(chance.randrange(1, 25)):
        at += timedelta(hours=chance.choice([1, 6, 24, 24, 24, 24 * 9, 24 * 40, -24 * 3, -24 * 400]))
        kind = chance.choice([Kind.BACKUP] * 4 + [Kind.SAFETY])
        key, damaged = chance.choice([KEY] * 5 + [OTHER]), chance.random() < 0.2
        ident = history.take(at, kind, key, damaged=damaged)
        if chance.random() < 0.1:
            history.keep(ident)
            facts["kept"].add(ident)
        if chance.random() < 0.05:
            facts["protected"].add(ident)
        if key is OTHER:
            facts["strange"].add(ident)
        elif not damaged and kind is Kind.BACKUP:
            facts["good"].append(ident)
    return history, facts


@pytest.mark.parametrize("seed", range(150))
def test_what_must_stay_stays(seed: int) -> None:
    chance = random.Random(seed)
    history, facts = some_history(chance)
    rule = {name: chance.choice([0, 0, 1, 2, 7]) for name in ("daily", "weekly", "monthly")}
    found = history.staying(*facts["protected"], **rule)
    assert set(facts["good"][-1:]) <= set(found), "the newest good one"
    assert facts["kept"] | facts["strange"] | facts["protected"] <= set(found)
    good_days = {ident[:8] for ident in facts["good"]}
    assert len([ident for ident in facts["good"] if ident in found]) >= min(rule["daily"], len(good_days))
    if not facts["good"]:
        assert len(found) == history.count
    # A second run removes nothing more.
    points = {point.id: point for point in history.repository.list().points}
    history.repository.remove([point for ident, point in points.items() if ident not in found])
    history.count = len(found)
    assert set(history.staying(*facts["protected"], **rule)) == set(found)


# --- a platform that was down ----------------------------------------------------------------------------------------


def test_points_of_a_platform_that_was_down_push_no_good_one_out(history: History) -> None:
    good = history.daily(3)
    marked = [history.take(START + (3 + number) * DAY, down="qdrant: gone") for number in range(20)]
    assert set(good) <= set(history.staying(daily=3))
    assert history.staying(daily=1)[good[-1]].startswith("the newest good one")
    assert "down" in history.why(marked[-1], daily=3)
    assert history.why(marked[0], daily=3) == "beyond what is kept"


def test_all_stay_where_every_one_is_of_a_platform_that_was_down(history: History) -> None:
    marked = [history.take(START + number * DAY, down="redis: gone") for number in range(9)]
    assert set(history.staying(daily=1)) == set(marked)


def test_latest_is_the_newest_of_a_platform_that_was_well(history: History) -> None:
    good = history.daily(2)[-1]
    marked = history.take(START + 2 * DAY, down="timescaledb: rag.chunks is gone")
    listing = history.repository.list()
    assert history.repository.get("latest").id == good
    assert [point.id for point in listing.newer_unhealthy()] == [marked]
    assert history.repository.get(marked).manifest.unhealthy == ("timescaledb: rag.chunks is gone",)


def test_latest_says_so_where_there_is_no_good_one(history: History) -> None:
    marked = history.take(START, down="redis: gone")
    with pytest.raises(MissingError) as caught:
        history.repository.get("latest")
    assert caught.value.code == "no_recovery_point"
    assert marked in caught.value.message


# --- versions ------------------------------------------------------------------------------------------------------


def vectors(version: str) -> dict[str, Any]:
    return {"contents": {"qdrant/docs.snapshot": b"points"}, "versions": {"qdrant": version}}


def test_the_version_before_stays_until_a_good_one_of_the_next(history: History) -> None:
    """However long that takes, and whatever else is taken meanwhile."""
    old = history.take(START, Kind.SAFETY, **vectors("1.17.1"))
    history.take(START + 20 * DAY, down="qdrant: a shard is lost", **vectors("1.18.3"))
    history.take(START + 30 * DAY)  # of another service alone
    damaged = history.take(START + 31 * DAY, damaged=True, **vectors("1.18.3"))
    found = history.staying(daily=1)
    assert "qdrant 1.17.1" in found[old]
    assert damaged not in found
    history.take(START + 40 * DAY, **vectors("1.18.3"))
    assert old not in history.staying(daily=1)


def test_a_safety_point_of_the_next_version_takes_not_the_place_of_the_one_before(history: History) -> None:
    old = history.take(START, Kind.SAFETY, **vectors("1.17.1"))
    new = history.take(START + 20 * DAY, Kind.SAFETY, **vectors("1.18.3"))
    history.take(START + 30 * DAY)
    assert {old, new} <= set(history.staying(daily=1))


def test_the_newest_good_one_of_a_service_stays_behind_those_of_others(history: History) -> None:
    only = history.take(START, **vectors("1.18.3"))
    taken = [history.take(START + number * DAY) for number in range(1, 6)]
    assert set(history.staying(daily=2)) == {only, *taken[-2:]}
