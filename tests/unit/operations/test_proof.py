"""When a restore of a schema counts as proven, by what is kept of drills, verifications and restores."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ragops.operations.observe.restore_proof import failure, of_schema
from ragops.operations.records.drill_log import DRILL, RESTORE, VERIFY, DrillRecord

NOW = datetime(2026, 3, 9, 3, 0, tzinfo=UTC)
TABLES = ("timescaledb/a", "timescaledb/b", "timescaledb/c")


def record(how: str = DRILL, days: float = 0, schema: str = "s", **named: Any) -> DrillRecord:
    made = DrillRecord("20260302T020000Z-000001", "backups", 1.0, 1.0, 1.0, how=how, schema_digest=schema, **named)
    return replace(made, time=NOW - timedelta(days=days))


def sample(days: float, *proven: str) -> DrillRecord:
    left = tuple(name for name in TABLES if name not in proven)
    return record(VERIFY, days, full=not left, proven=proven, left=left)


@pytest.mark.parametrize("how", [DRILL, VERIFY, RESTORE])
def test_all_of_it_restored_proves_its_schema_and_no_other(how: str) -> None:
    assert of_schema([record(how)], "s", NOW)
    assert of_schema([record(how)], "changed since", NOW) is None
    assert of_schema([record(how, error="drill_failed")], "s", NOW) is None


def test_what_was_only_read_proves_nothing() -> None:
    assert of_schema([record(VERIFY, full=False, left=("timescaledb",))], "s", NOW) is None
    assert of_schema([record(VERIFY, full=False, proven=("redis/dump.rdb",), left=("timescaledb",))], "s", NOW) is None


def test_samples_of_a_week_prove_it_together() -> None:
    nights = [sample(2, "timescaledb/a"), sample(1, "timescaledb/b")]
    assert of_schema(nights, "s", NOW) is None
    nights.append(sample(0, "timescaledb/c"))
    assert of_schema(nights, "s", NOW)
    assert of_schema([sample(30, "timescaledb/a"), *nights[1:]], "s", NOW) is None, "that one is too old"


@pytest.mark.parametrize(
    ("failed", "later", "good"),
    [
        (DRILL, VERIFY, False), (DRILL, DRILL, True), (DRILL, RESTORE, True),
        (VERIFY, VERIFY, True), (VERIFY, DRILL, True), (RESTORE, VERIFY, False),
    ],
)  # fmt: skip
def test_a_failure_stands_until_something_as_strong_went_well(failed: str, later: str, good: bool) -> None:
    records = [record(failed, 2, error="x"), record(later, 1)]
    assert (failure(records) is None) is good
    assert failure(records[:1]) == records[0]
