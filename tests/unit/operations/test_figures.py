"""ragops's own figures, as node_exporter reads them: exact names and values, from records alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from ragops import __version__
from ragops.config.load import load
from ragops.operations.observe.health import Health
from ragops.operations.records import drill_log, figures, last_backup
from ragops.operations.records.drill_log import DrillRecord
from ragops.operations.schedule.step_runner import files_of
from ragops.operations.session import Session
from ragops.services.contract import Check, ProbeResult, Status
from ragops.services.gateway import certificate, tokens
from tests.backup_helpers import session_in

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PAGE = Path(__file__).parents[3] / "docs" / "observability.md"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A project that is watched and was up once."""
    config = session_in(tmp_path, "  drill_max_age_days: 7\n").project.config
    config.write_text(config.read_text() + "\nobservability: {}\n")
    found = Session(load(config, None, {}), "test", lambda _text: None)
    found.project.paths.endpoints.parent.mkdir(parents=True)
    return found


def values(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by its name and its labels but platform and environment, which all of them have."""
    found = {}
    for sample in (sample for family in parse(text) for sample in family.samples):
        labels = dict(sample.labels)
        assert labels.pop("platform")
        assert labels.pop("environment") == "default"
        found[sample.name, tuple(sorted(labels.items()))] = sample.value
    return found


def everything(session: Session) -> None:
    """Records of all that has a figure."""
    paths = session.project.paths
    taken = last_backup.PointSummary("p1", NOW.isoformat(), 5.0, 4096)
    last_backup.save(
        paths.backup_record, last_backup.RunRecord((NOW + timedelta(seconds=9)).isoformat(), 9.0, "", taken)
    )
    drill_log.append(paths.drills, DrillRecord("p1", "backups", 40.0, 4.0, 7200.0))
    record = files_of(paths).record
    record.parent.mkdir(parents=True)
    end = (NOW + timedelta(minutes=5)).isoformat()
    record.write_text(json.dumps({"start": NOW.isoformat(), "end": end, "exit_code": 3, "steps": []}) + "\n")
    paths.gateway.mkdir(parents=True)
    certificate.ensure(paths.gateway, NOW)
    _, one = tokens.issue("website", "rag", NOW, timedelta(days=30))
    _, own = tokens.issue("ragops-operator", "rag", NOW, timedelta(hours=1))
    tokens.save(paths.gateway, (one, own))
    session.cluster_journal().begin(("rebalance",), {})
    counted = {"points": 3.0, "newest": NOW.timestamp(), "faults": 0.0}
    probes = (
        ProbeResult("redis", (Check("a", Status.DEGRADED, "slow"),), 0.1),
        ProbeResult("api", (), 0.1),
        ProbeResult("backup", (), 0.1, counted=counted),
    )
    figures.note_health(session, Health(probes, 0.2))
    figures.note_drift(session, 2)
    figures.note_schedule(session, {"nightly": True})


def test_without_any_record_there_are_only_the_limits(session: Session) -> None:
    found = values(figures.text(session))
    assert found == {
        ("ragops_info", (("runtime", "embedded"), ("version", __version__))): 1.0,
        ("ragops_backup_max_age_seconds", ()): 26 * 3600.0,
        ("ragops_drill_max_age_seconds", ()): 7 * 86400.0,
        ("ragops_schedule_installed", (("kind", "nightly"),)): 0.0,
        ("ragops_schedule_installed", (("kind", "ingest"),)): 0.0,
    }


def test_each_record_becomes_its_figure(session: Session) -> None:
    everything(session)
    found = values((session.project.paths.metrics / "ragops.prom").read_text())
    wanted: dict[str, Any] = {
        "backup_last_success_timestamp_seconds": NOW.timestamp(),
        "backup_last_run_timestamp_seconds": NOW.timestamp() + 9,
        "backup_last_run_success": 1.0,
        "backup_size_bytes": 4096.0,
        "backup_points": 3.0,
        "backup_newest_timestamp_seconds": NOW.timestamp(),
        "backup_newest_faults": 0.0,
        "drill_restore_duration_seconds": 4.0,
        "drill_data_age_seconds": 7200.0,
        "drift_resources": 2.0,
        "certificate_not_after_timestamp_seconds": (NOW + certificate.VALID).timestamp(),
    }
    assert {name: found[f"ragops_{name}", ()] for name in wanted} == pytest.approx(wanted, abs=3700)
    assert found["ragops_health_status", (("service", "redis"),)] == 1.0
    assert found["ragops_health_status", (("service", "api"),)] == 2.0
    assert found["ragops_schedule_installed", (("kind", "nightly"),)] == 1.0
    assert found["ragops_schedule_last_run_success", (("kind", "nightly"),)] == 0.0
    assert found["ragops_schedule_last_run_timestamp_seconds", (("kind", "nightly"),)] == NOW.timestamp() + 300
    assert ("ragops_operation_started_timestamp_seconds", (("operation", "cluster"),)) in found
    ends = {
        labels: value for (name, labels), value in found.items() if name == "ragops_token_expires_timestamp_seconds"
    }
    assert [dict(labels)["consumer"] for labels in ends] == ["website"]
    assert [*ends.values()] == [(NOW + timedelta(days=30)).timestamp()]


def test_the_page_names_every_figure_and_no_other(session: Session) -> None:
    everything(session)
    of_docker = {"ragops_container_info", "ragops_qdrant_replication_factor"}
    written = {name for name, _ in values(figures.text(session))} | of_docker
    rows = [line.split("|")[1].strip() for line in PAGE.read_text().splitlines() if line.startswith("| `ragops_")]
    own = {row.strip("`") for row in rows if not row.startswith("`ragops_api_")}
    assert own == written


def test_the_file_is_whole_for_the_user_of_the_exporter(session: Session) -> None:
    figures.write(session)
    file = session.project.paths.metrics / "ragops.prom"
    assert file.stat().st_mode & 0o777 == 0o644
    assert file.parent.stat().st_mode & 0o777 == 0o755
    assert [each.name for each in file.parent.iterdir()] == ["ragops.prom"]


def test_a_platform_that_is_not_watched_gets_no_file(tmp_path: Path) -> None:
    session = session_in(tmp_path, "")
    session.project.paths.endpoints.parent.mkdir(parents=True)
    figures.write(session)
    figures.note_drift(session, 1)
    assert not session.project.paths.metrics.exists()
    assert not session.project.paths.observations.exists()


def test_every_change_writes_the_file_even_one_that_fails(session: Session) -> None:
    session.project.paths.endpoints.write_text("{}")
    file = session.project.paths.metrics / "ragops.prom"
    with pytest.raises(ZeroDivisionError), session.changing():
        raise ZeroDivisionError
    assert file.exists()


def test_a_damaged_record_is_a_notice_and_no_failure(session: Session) -> None:
    notices: list[str] = []
    session = Session(session.project, "test", notices.append)
    record = files_of(session.project.paths).record
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"start": "x", "end": "never", "exit_code": 0, "steps": []}) + "\n")
    session.project.paths.endpoints.write_text("{}")
    with session.changing():
        pass
    assert len(notices) == 1
    assert notices[0].startswith("cannot write the metrics: ")
