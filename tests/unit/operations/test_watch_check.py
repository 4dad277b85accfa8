"""What ragops writes for Prometheus is judged by its checker before it is used: a stand-in of it, and promtool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ragops.config.load import load
from ragops.errors import UsageError
from ragops.operations.lifecycle import watch_check
from ragops.services.contract import Status
from ragops.services.observability.files_check import fault_in, files_checks
from ragops.services.observability.settings import ObservabilitySettings
from ragops.services.spec import Distribution, GatewayEngine, RuntimeTraits
from tests.backup_helpers import session_in
from tests.unit.observability import promtool

if TYPE_CHECKING:
    from ragops.config.load import Project

IMAGES = RuntimeTraits(distribution=Distribution.IMAGE, shares_filesystem=False, gateway_engine=GatewayEngine.KONG)
REFUSES = """#!/bin/sh
echo "Checking $3"
echo "  FAILED: parsing YAML file $3: it is no good"
exit 1
"""
LOOKS = """#!/bin/sh
cd "$(dirname "$3")" && grep -q rule_files prometheus.yml && ls rules/*.yml && cat secrets/given-1
"""


def project(folder: Path, section: str) -> Project:
    config = session_in(folder).project.config
    config.write_text(f"{config.read_text()}\nobservability: {section}\n")
    return load(config, None, {})


def checker(folder: Path, text: str) -> str:
    """Put a promtool next to a Prometheus that is never started; returns the path of that."""
    folder.mkdir()
    (folder / "promtool").write_text(text)
    (folder / "promtool").chmod(0o755)
    return str(folder / "prometheus")


def test_what_the_checker_refuses_is_refused_in_its_words(tmp_path: Path) -> None:
    found = project(tmp_path, f"{{program: {checker(tmp_path / 'bin', REFUSES)}}}")
    with pytest.raises(UsageError) as caught:
        watch_check.refuse_unreadable(found)
    assert caught.value.code == "observability_refused"
    said = "promtool reports: parsing YAML file prometheus.yml: it is no good"
    assert caught.value.message == f"cannot use the configuration of Prometheus: {said}"
    (finding,) = watch_check.findings(found)
    assert finding.status is Status.DOWN
    assert finding.detail.endswith("it is no good")


def test_the_checker_sees_every_file(tmp_path: Path) -> None:
    (tmp_path / "far.token").write_text("hunter2")
    (tmp_path / "far.token").chmod(0o600)
    far = "{remote_write: [{url: 'https://far.example/w', token_file: far.token}]}"
    found = project(tmp_path, f"{{program: {checker(tmp_path / 'bin', LOOKS)}, external: {far}}}")
    watch_check.refuse_unreadable(found)
    (finding,) = watch_check.findings(found)
    assert (finding.status, finding.detail) == (Status.OK, "promtool takes the configuration of Prometheus")


def test_without_a_checker_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = project(tmp_path, "{}")
    watch_check.refuse_unreadable(found)
    (finding,) = watch_check.findings(found)
    assert (finding.status, "not checked" in finding.detail) == (Status.OK, True)


def test_a_secret_that_others_can_read_is_found_by_doctor(tmp_path: Path) -> None:
    (tmp_path / "far.token").write_text("hunter2")
    (tmp_path / "far.token").chmod(0o644)
    found = project(tmp_path, "{external: {remote_write: [{url: 'https://far.example/w', token_file: far.token}]}}")
    (finding,) = watch_check.findings(found)
    assert (finding.status, "far.token" in finding.detail) == (Status.DOWN, True)


def test_nothing_is_checked_where_nothing_is_watched(tmp_path: Path) -> None:
    assert watch_check.findings(session_in(tmp_path).project) == ()


@promtool.needs_promtool
def test_promtool_takes_what_is_rendered_and_refuses_what_prometheus_would(tmp_path: Path) -> None:
    program = Path(str(promtool.PROGRAM)).with_name("prometheus")
    watch_check.refuse_unreadable(project(tmp_path / "good", f"{{program: {program}}}"))
    with pytest.raises(UsageError) as caught:
        watch_check.refuse_unreadable(
            project(tmp_path / "bad", f"{{program: {program}, retention: 15d, scrape_interval: 999999999y}}")
        )
    assert "duration" in caught.value.message


def test_images_bring_their_own_checkers() -> None:
    settings = ObservabilitySettings.model_validate({"image": "own/prometheus:v3.1.0", "program": "/opt/prometheus"})
    labels = {"platform": "rag", "environment": "default"}
    found = {one.title: (one.image, one.command) for one in files_checks(settings, labels, {}, IMAGES)}
    assert found == {
        "Prometheus": ("own/prometheus:v3.1.0", ("promtool", "check", "config")),
        "Alertmanager": (settings.images()["alertmanager"], ("amtool", "check-config")),
    }


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (("Checking 'alertmanager.yml'  FAILED: address mail: missing port in address",
          "amtool: error: failed to validate 1 file(s)"), "address mail: missing port in address"),
        (("Checking prometheus.yml", "  FAILED:", "parsing YAML file prometheus.yml: not a valid duration"),
         "parsing YAML file prometheus.yml: not a valid duration"),
        (("no such option",), "no such option"),
        ((), "it gives no reason"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line(lines: tuple[str, ...], fault: str) -> None:
    assert fault_in(lines) == fault
