"""Every alert fires when it has to, and not before or after, by Prometheus' own unit tests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import yaml

from ragops.services.observability.rules import GROUPS, alerts, render_rules
from ragops.services.observability.rules.model import PLATFORM, Group, Severity
from ragops.services.observability.rules.render import render_groups
from tests.unit.observability import promtool
from tests.unit.observability.alert_cases import CASES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.observability.alert_cases import Case

NUMBERS = range(len(CASES))
IDS = [f"{case.alert}-{number}" for number, case in enumerate(CASES)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rules")


@pytest.fixture(scope="module")
def verdicts(folder: Path) -> list[str]:
    """One run of promtool for all cases."""
    return promtool.verdicts(folder, render_rules(), CASES)


@promtool.needs_promtool
@pytest.mark.parametrize("number", NUMBERS, ids=IDS)
def test_an_alert_fires_while_something_is_wrong_and_only_then(verdicts: list[str], number: int) -> None:
    assert verdicts[number] == ""


@promtool.needs_promtool
@pytest.mark.parametrize(("expr", "every"), [("vector(0) > 1", 1), ("vector(1)", 15)], ids=["never", "always"])
def test_a_case_fails_if_its_alert_never_or_always_fires(tmp_path: Path, expr: str, every: int) -> None:
    cases = [case for case in CASES if not case.alert.startswith("Availability")][::every]
    one = f"group by ({PLATFORM}) (up) and on () {expr}"
    same = [
        Group(group.name, alerts=tuple(replace(alert, expr=one, for_="") for alert in group.alerts)) for group in GROUPS
    ]
    said = promtool.verdicts(tmp_path, render_groups(same), cases)
    assert [case.alert for case, faults in zip(cases, said, strict=True) if not faults] == []


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_case_looks_before_during_and_after(case: Case) -> None:
    moments = [int(word.rstrip("mh")) for word in (case.quiet, case.fires, case.over)]
    assert moments == sorted(set(moments))
    assert len({word[-1] for word in (case.quiet, case.fires, case.over)}) == 1


@promtool.needs_promtool
def test_prometheus_reads_all_files(folder: Path) -> None:
    names = promtool.write(folder, render_rules("https://docs.example.org/runbooks"))
    done = promtool.run("check", "rules", *names, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "FAILED" not in done.stdout
    assert done.stdout.count("SUCCESS") == len(names)


def test_every_alert_has_a_case() -> None:
    assert {case.alert for case in CASES} | {"Watchdog"} == set(alerts())


def test_names_are_unique() -> None:
    assert len(alerts()) == sum(len(group.alerts) for group in GROUPS)


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_what_it_is_about(name: str) -> None:
    alert = alerts()[name]
    assert len(alert.summary) <= 110
    assert not alert.summary.endswith(".")
    assert alert.description.endswith(".")
    assert alert.severity in Severity
    assert alert.for_ != "0"


def test_files_hold_every_alert_with_its_runbook() -> None:
    files = render_rules("https://docs.example.org/runbooks/")
    rules = [rule for text in files.values() for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    found = {rule["alert"]: rule for rule in rules if "alert" in rule}
    assert set(found) == set(alerts())
    down = found["ApiDown"]
    assert down["labels"] == {"severity": "critical"}
    assert down["annotations"]["runbook"] == "ragops metrics runbook ApiDown"
    assert down["annotations"]["runbook_url"] == "https://docs.example.org/runbooks/api-down.md"
    plain = yaml.safe_load(render_rules()["ragops-api.yml"])["groups"][0]["rules"]
    assert all("runbook_url" not in rule["annotations"] for rule in plain)
