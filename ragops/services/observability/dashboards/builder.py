"""Dashboards as JSON, built with Grafana's own library: imported when one is rendered, not before."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from grafana_foundation_sdk.builders import dashboard as make
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

from ragops.services.observability.dashboards.model import Board, Kind, Panel
from ragops.services.observability.provisioning import SOURCE_UID

TAG = "ragops"
_SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_HEIGHT, _NUMBER_HEIGHT, _WIDTH, _NUMBER_WIDTH = 8, 4, 12, 6


def render(board: Board) -> str:
    """Return the JSON that Grafana imports or reads from a provisioning folder."""
    builder = (
        make.Dashboard(f"ragops / {board.title}")
        .uid(board.uid)
        .description(board.purpose)
        .tags([TAG])
        .readonly()
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(_others())
    )
    for variable in _variables(board):
        builder = builder.with_variable(variable)
    number = count(1)
    for row in board.rows:
        builder = builder.with_row(make.Row(row.title).id(next(number)))
        for panel in row.panels:
            made = _number(panel) if panel.kind is Kind.NUMBER else _lines(panel)
            builder = builder.with_panel(made.id(next(number)))
    return json.dumps(builder.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _others() -> make.DashboardLink:
    link = make.DashboardLink("ragops").type(models.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.as_dropdown(True).include_vars(True).keep_time(True)


def _variables(board: Board) -> list[Any]:
    current = models.VariableOption(selected=True, text="Prometheus", value=SOURCE_UID)
    every = models.VariableOption(selected=True, text="All", value="$__all")
    instances = board.instances or "up"
    return [
        make.DatasourceVariable("datasource").label("Prometheus").type("prometheus").current(current),
        _labels("platform", "Platform", "label_values(up, platform)"),
        _labels("environment", "Environment", 'label_values(up{platform="$platform"}, environment)'),
        _labels("instance", "Instance", f"label_values({_chosen(instances)}, instance)")
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(every),
    ]


def _chosen(selector: str) -> str:
    name, _, labels = selector.partition("{")
    more = f", {labels.rstrip('}')}" if labels else ""
    return f'{name}{{platform="$platform", environment="$environment"{more}}}'


def _labels(name: str, label: str, query: str) -> make.QueryVariable:
    variable = make.QueryVariable(name).label(label).datasource(_SOURCE)
    wanted: dict[str, object] = {"query": query, "refId": f"variable-{name}"}
    return variable.query(wanted).refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)


def _targets(panel: Panel) -> list[Any]:
    made = []
    for place, query in enumerate(panel.queries):
        target = prometheus.Dataquery().expr(query.promql).ref_id(chr(ord("A") + place)).datasource(_SOURCE)
        target = target.legend_format(query.name) if query.name else target
        made.append(target.instant() if panel.kind is Kind.NUMBER else target.range())
    return made


def _thresholds(panel: Panel) -> make.ThresholdsConfig:
    good, bad = ("red", "green") if panel.low_is_red else ("green", "red")
    steps = [models.Threshold(value=None, color=good if panel.red is not None else "green")]
    if panel.red is not None:
        steps.append(models.Threshold(value=panel.red, color=bad))
    return make.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _lines(panel: Panel) -> Any:
    builder = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .height(_HEIGHT)
        .span(_WIDTH)
        .min(0)
        .thresholds(_thresholds(panel))
        .line_width(1)
        .fill_opacity(10)
    )
    if panel.red is not None:
        style = common.GraphThresholdsStyleMode.LINE
        builder = builder.thresholds_style(_threshold_line(style))
    for target in _targets(panel):
        builder = builder.with_target(target)
    return builder


def _threshold_line(mode: common.GraphThresholdsStyleMode) -> Any:
    from grafana_foundation_sdk.builders import common as make_common

    return make_common.GraphThresholdsStyleConfig().mode(mode)


def _number(panel: Panel) -> Any:
    builder = (
        stat.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .height(_NUMBER_HEIGHT)
        .span(_NUMBER_WIDTH)
        .thresholds(_thresholds(panel))
        .no_value("none")
    )
    for target in _targets(panel):
        builder = builder.with_target(target)
    return builder
