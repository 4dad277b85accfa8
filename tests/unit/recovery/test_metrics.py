"""The text that Prometheus reads."""

from __future__ import annotations

from ragops.recovery.metrics import BackupFigures, DrillFigures, text


def test_every_figure_has_help_type_and_labels() -> None:
    found = text("rag", "default", BackupFigures(1.5, True, 2.25, 1024, 1), DrillFigures(3.0, False, 40.0, 60.0))
    lines = found.splitlines()
    assert found.endswith("\n")
    samples = [line for line in lines if not line.startswith("#")]
    assert len(samples) == 9
    assert all('{platform="rag",environment="default"}' in line for line in samples)
    for sample in samples:
        name = sample.partition("{")[0]
        assert f"# TYPE {name} gauge" in lines
        assert any(line.startswith(f"# HELP {name} ") for line in lines)
    assert 'ragops_backup_copies_missing{platform="rag",environment="default"} 1' in lines
    assert 'ragops_drill_last_run_success{platform="rag",environment="default"} 0' in lines


def test_what_is_not_known_is_left_out() -> None:
    assert text("rag", "default", None, None) == ""
    found = text("rag", "default", BackupFigures(None, False, 2.0, None, 0), None)
    assert "last_success_timestamp" not in found
    assert "size_bytes" not in found
    assert "drill" not in found


def test_an_instant_keeps_its_seconds() -> None:
    found = text("rag", "default", BackupFigures(1795528739.0, True, 2.0, 1, 0), None)
    assert "1795528739\n" in found
