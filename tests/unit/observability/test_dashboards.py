"""Dashboards: complete, valid by Grafana's own types, and with PromQL that Prometheus reads."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ragops.errors import UsageError
from ragops.operations.observe.metrics_export import export
from ragops.services.observability.dashboards import BOARDS, render_dashboards
from ragops.services.observability.provisioning import SOURCE_UID
from ragops.services.observability.rules import alerts
from tests.unit.observability import promtool

if TYPE_CHECKING:
    from pathlib import Path

PANELS = [(board, panel) for board in BOARDS for panel in board.panels]
IDS = [f"{board.uid}-{panel.title}" for board, panel in PANELS]
# Grafana has no list of them that could be had: those of its table of units that are used.
UNITS = {"none", "short", "s", "bytes", "Bps", "reqps", "ops", "percentunit"}
# They never change: links and bookmarks hold.
UIDS = (
    "ragops-overview", "ragops-api", "ragops-qdrant", "ragops-database",
    "ragops-redis", "ragops-gateway", "ragops-recovery", "ragops-machine",
)  # fmt: skip


def dashboards() -> dict[str, Any]:
    return {name: json.loads(text) for name, text in render_dashboards().items()}


def test_uids_are_stable() -> None:
    assert tuple(board.uid for board in BOARDS) == UIDS
    assert {name: content["uid"] for name, content in dashboards().items()} == {f"{uid}.json": uid for uid in UIDS}


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=IDS)
def test_a_panel_says_what_it_is_for_and_what_to_do(board: Any, panel: Any) -> None:
    assert panel.purpose.endswith(".")
    assert panel.when_red.endswith(".")
    assert panel.description.partition("Red: ")[2]
    assert panel.unit in UNITS
    assert panel.alert in {*alerts(), ""}
    assert len(panel.queries) == 1 or all(query.name for query in panel.queries)


def test_titles_are_unique_on_a_dashboard() -> None:
    for board in BOARDS:
        titles = [panel.title for panel in board.panels]
        assert len(titles) == len(set(titles)), board.uid


def test_grafanas_types_read_every_dashboard_as_it_was_written() -> None:
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    for name, text in render_dashboards().items():
        read = Dashboard.from_json(json.loads(text))
        assert json.loads(json.dumps(read, cls=JSONEncoder)) == json.loads(text), name


def test_every_panel_has_an_id_a_source_and_its_variables() -> None:
    for content in dashboards().values():
        ids = [panel["id"] for panel in content["panels"]]
        assert len(ids) == len(set(ids))
        variables = {one["name"] for one in content["templating"]["list"]}
        assert variables == {"datasource", "platform", "environment", "instance"}
        shown = [panel for panel in content["panels"] if panel["type"] != "row"]
        for panel in shown:
            assert panel["description"]
            assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
            assert panel["datasource"]["uid"] == "${datasource}"
            for target in panel["targets"]:
                assert set(re.findall(r"\$(\w+)", target["expr"])) <= variables | {"__rate_interval"}


def test_panels_do_not_overlap() -> None:
    for content in dashboards().values():
        taken: set[tuple[int, int]] = set()
        for panel in content["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert not cells & taken, panel["title"]
            assert at["x"] + at["w"] <= 24
            taken |= cells


@promtool.needs_promtool
def test_prometheus_reads_every_expression(tmp_path: Path) -> None:
    expressions = [query.promql for _, panel in PANELS for query in panel.queries]
    rules = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$__rate_interval", "5m", one)}
        for number, one in enumerate(expressions)
    ]
    text = yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}, width=4096)
    (name,) = promtool.write(tmp_path, {"panels.yml": text})
    done = promtool.run("check", "rules", name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{len(expressions)} rules found" in done.stdout


@promtool.needs_promtool
def test_an_expression_that_is_wrong_is_found(tmp_path: Path) -> None:
    (name,) = promtool.write(tmp_path, {"x.yml": "groups: [{name: x, rules: [{record: a, expr: 'sum(rate(a[5m])'}]}]"})
    assert promtool.run("check", "rules", name, cwd=tmp_path).returncode != 0


def test_the_library_is_imported_only_when_a_dashboard_is_rendered() -> None:
    code = (
        "import sys, ragops.cli.app, ragops.services.observability.dashboards;"
        "sys.exit('grafana_foundation_sdk' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_everything_is_exported_as_files(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    (folder / "rules").mkdir(parents=True)
    (folder / "rules" / "own.yml").write_text("groups: []\n")
    found = export(folder, "http://prometheus:9090", "https://docs.example.org/runbooks")
    assert all((folder / name).is_file() for name in found.files)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        *found.files, "rules/own.yml",
    }  # fmt: skip
    source = yaml.safe_load((folder / "grafana/provisioning/datasources/ragops.yaml").read_text())["datasources"][0]
    assert (source["uid"], source["url"]) == (SOURCE_UID, "http://prometheus:9090")
    provider = yaml.safe_load((folder / "grafana/provisioning/dashboards/ragops.yaml").read_text())["providers"][0]
    assert provider["options"]["path"] == str(folder / "dashboards")
    assert "https://docs.example.org/runbooks/api-down.md" in (folder / "rules/ragops-api.yml").read_text()
    again = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    export(folder, "http://prometheus:9090", "https://docs.example.org/runbooks")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == again


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError) as caught:
        export(tmp_path / "out")
    assert caught.value.code == "not_a_folder"
    assert (tmp_path / "out").read_text() == "mine"
