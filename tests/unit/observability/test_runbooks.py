"""Every alert has a runbook whose commands and links hold, and every runbook is of an alert."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ragops.errors import UsageError
from ragops.operations.observe import metrics_export
from ragops.services import names
from ragops.services.observability.rules import alerts
from tests.cli.test_docs import fault, in_backticks, in_fences

DOCS = Path(__file__).parents[3] / "docs"
RUNBOOKS = DOCS / "runbooks"
PAGES = sorted(path.stem for path in RUNBOOKS.glob("*.md"))
SECTIONS = ("Symptom", "How to see it", "Cause", "Remedy", "How to prove that it is over")
NAMED = re.compile(r"`([A-Z][a-z]+(?:[A-Z0-9][a-z0-9]*)+)`")


def text(page: str) -> str:
    return (RUNBOOKS / f"{page}.md").read_text()


def anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {alert.runbook for alert in alerts().values()} == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_its_alerts_with_their_severity(page: str) -> None:
    wanted = {name: str(alert.severity) for name, alert in alerts().items() if alert.runbook == page}
    (line,) = re.findall(r"^Alerts: (.+)$", text(page), flags=re.MULTILINE)
    assert dict(re.findall(r"`(\w+)` \((\w+)\)", line)) == wanted


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_all_sections_in_order(page: str) -> None:
    assert tuple(re.findall(r"^## (.+)$", text(page), flags=re.MULTILINE)) == SECTIONS
    empty = [section for section in re.split(r"^#+ .+$", text(page), flags=re.MULTILINE)[1:] if not section.strip()]
    assert not empty


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_there_and_name_services_that_are(page: str) -> None:
    path = RUNBOOKS / f"{page}.md"
    lines = [*in_fences(path), *in_backticks(path)]
    assert lines
    assert not [words for line in lines if (words := fault(line))]
    services = {*names(), "observability"}
    asked = [re.match(r"ragops (?:logs|health) ([a-z]\S*)", line.text) for line in lines]
    assert not [one.group(1) for one in asked if one and one.group(1) not in services]


@pytest.mark.parametrize("page", PAGES)
def test_other_alerts_and_links_are_there(page: str) -> None:
    assert not {name for name in NAMED.findall(text(page)) if name not in alerts()}
    for target in re.findall(r"\]\(([^)]+)\)", text(page)):
        name, _, part = target.partition("#")
        linked = RUNBOOKS / name
        assert linked.is_file(), target
        titles = {anchor(title) for title in re.findall(r"^#+ (.+)$", linked.read_text(), flags=re.MULTILINE)}
        assert not part or part in titles, target


def test_a_runbook_is_printed_by_the_name_of_its_alert() -> None:
    assert metrics_export.runbook("ApiDown") == text("api-down")
    assert {name for name, _, _ in metrics_export.list_alerts()} == set(alerts())


def test_a_name_that_is_nearly_right_is_advised() -> None:
    with pytest.raises(UsageError) as caught:
        metrics_export.runbook("ApiDwn")
    assert (caught.value.code, caught.value.hint) == ("unknown_alert", "did you mean ApiDown?")
