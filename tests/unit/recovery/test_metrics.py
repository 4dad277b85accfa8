"""The text that Prometheus reads."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families as parse

from ragops.recovery.metrics import BackupMetrics, DrillMetrics, render_metrics


def test_every_figure_has_help_type_and_labels() -> None:
    found = render_metrics(
        "rag", "default", BackupMetrics(1.5, True, 2.25, 1024, 1), DrillMetrics(3.0, False, 40.0, 60.0)
    )
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
    assert render_metrics("rag", "default", None, None) == ""
    found = render_metrics("rag", "default", BackupMetrics(None, False, 2.0, None, 0), None)
    assert "last_success_timestamp" not in found
    assert "size_bytes" not in found
    assert "drill" not in found


def test_a_time_keeps_its_seconds() -> None:
    found = render_metrics("rag", "default", BackupMetrics(1795528739.0, True, 2.0, 1, 0), None)
    values = {sample.name: sample.value for family in parse(found) for sample in family.samples}
    assert values["ragops_backup_last_success_timestamp_seconds"] == 1795528739.0


def test_labels_are_escaped() -> None:
    found = render_metrics('a"b', "line\nbreak", None, DrillMetrics(None, True, 1.0, 2.0))
    for family in parse(found):
        assert family.samples[0].labels == {"platform": 'a"b', "environment": "line\nbreak"}
