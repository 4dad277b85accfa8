"""The text that Prometheus reads."""

from __future__ import annotations

from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families as parse

from ragops.operations.records.drill_log import DrillRecord
from ragops.operations.records.last_backup import PointSummary, RunRecord
from ragops.operations.records.outcomes import _of_backup, _of_drills, render_metrics

WHEN = datetime(2026, 11, 24, 13, 32, 19, tzinfo=UTC)


def drilled(error: str = "") -> DrillRecord:
    return DrillRecord("20260102T030405Z-000001", "backups", 40.0, 4.0, 60.0, error, time=WHEN)


def backed_up(error: str = "") -> RunRecord:
    return RunRecord(
        WHEN.isoformat(), 2.25, error, PointSummary("20260102T030405Z-000001", WHEN.isoformat(), 2.0, 1024)
    )


def test_every_figure_has_help_type_and_labels() -> None:
    rows = [*_of_backup(backed_up(), 1), *_of_drills([drilled(), drilled("drill_failed")])]
    found = render_metrics("rag", "default", rows)
    lines = found.splitlines()
    assert found.endswith("\n")
    samples = [line for line in lines if not line.startswith("#")]
    assert len(samples) == 9
    assert all('{environment="default",platform="rag"}' in line for line in samples)
    for sample in samples:
        name = sample.partition("{")[0]
        assert f"# TYPE {name} gauge" in lines
        assert any(line.startswith(f"# HELP {name} ") for line in lines)
    assert 'ragops_backup_copies_missing{environment="default",platform="rag"} 1.0' in lines
    assert 'ragops_drill_last_run_success{environment="default",platform="rag"} 0.0' in lines


def test_what_is_not_known_is_left_out() -> None:
    assert render_metrics("rag", "default", []) == ""
    never = RunRecord(WHEN.isoformat(), 2.0, "disk_full")
    found = render_metrics("rag", "default", [*_of_backup(never, 0), *_of_drills([])])
    assert "last_success_timestamp" not in found
    assert "size_bytes" not in found
    assert "drill" not in found


def test_a_time_keeps_its_seconds() -> None:
    found = render_metrics("rag", "default", [*_of_backup(backed_up(), 0)])
    values = {sample.name: sample.value for family in parse(found) for sample in family.samples}
    assert values["ragops_backup_last_success_timestamp_seconds"] == WHEN.timestamp()


def test_labels_are_escaped() -> None:
    found = render_metrics('a"b', "line\nbreak", [*_of_drills([drilled()])])
    for family in parse(found):
        assert family.samples[0].labels == {"platform": 'a"b', "environment": "line\nbreak"}
