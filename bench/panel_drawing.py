"""Panels of the dashboards as pictures: what Prometheus answers, drawn with matplotlib as Grafana would show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ragops.services.observability.dashboards.model import Panel

_COLOURS = (
    "#3366cc",
    "#d9720f",
    "#2a8f4f",
    "#8e44ad",
    "#0f8f9e",
    "#b8860b",
    "#c0527f",
    "#5f6b7a",
    "#7a4b2a",
    "#9acd32",
)
_RED, _GREY, _INK = "#c0392b", "#9aa3ad", "#333a42"
_MOST_NAMES = 8
_MIB = 1 << 20


@dataclass(frozen=True)
class Line:
    """One series: its name, and seconds since the beginning with their values."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Span:
    """Something that lasted from `start` to `end`, in seconds since the beginning: a fault, or an alert that fired."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Picture:
    """Panels with their lines, what was done to the platform, which alerts fired, and how long all of it took."""

    title: str
    panels: Sequence[tuple[Panel, Sequence[Line]]]
    faults: Sequence[Span]
    alerts: Sequence[Span]
    seconds: float


def draw(picture: Picture, target: Path) -> None:
    """Write the picture as SVG, with text as text; a copy in PNG if `target` ends so."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update({
        "svg.fonttype": "none", "svg.hashsalt": "ragops", "font.size": 9, "path.simplify_threshold": 0.3,
        "font.family": "sans-serif", "font.sans-serif": ["Verdana", "DejaVu Sans"],
        "text.color": _INK, "axes.edgecolor": _GREY, "xtick.color": _INK, "ytick.color": _INK,
    })  # fmt: skip
    from matplotlib import pyplot

    rows, names = -(-len(picture.panels) // 2), list(dict.fromkeys(one.name for one in picture.alerts))
    strip = 0.35 + 0.18 * (len(names) + len(picture.faults))
    figure = pyplot.figure(figsize=(11, 0.5 + strip + 2.75 * rows), layout="constrained")
    figure.suptitle(picture.title, fontsize=11, fontweight="bold", x=0.01, ha="left")
    grid = figure.add_gridspec(rows + 1, 2, height_ratios=[strip, *[2.6] * rows])
    _strip(figure.add_subplot(grid[0, :]), picture, names)
    for number, (panel, lines) in enumerate(picture.panels):
        _panel(figure.add_subplot(grid[1 + number // 2, number % 2]), panel, lines, picture)
    more: dict[str, Any] = {"metadata": {"Date": None}} if target.suffix == ".svg" else {"dpi": 80}
    figure.savefig(target, **more)
    pyplot.close(figure)


def _strip(axes: Any, picture: Picture, names: Sequence[str]) -> None:
    """What was done, a line for each, and below it when each alert fired."""
    rows = [f"fault {number}" for number in range(len(picture.faults))] + list(names)
    for number, span in enumerate(picture.faults):
        _bar(axes, picture, span, number, "#d4d9df")
    for span in picture.alerts:
        _bar(axes, picture, span, rows.index(span.name), _RED)
    axes.set_yticks([])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_title("What was done (grey), and the alerts that fired (red)", fontsize=9, loc="left", pad=3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    _time(axes, picture)


def _bar(axes: Any, picture: Picture, span: Span, row: int, colour: str) -> None:
    """A bar with its name before it, in it if there is no room."""
    axes.barh(row, span.end - span.start, left=span.start, height=0.8, color=colour)
    is_first = next(one for one in (*picture.faults, *picture.alerts) if one.name == span.name) is span
    if not is_first:
        return
    gap, inside = 0.006 * picture.seconds, span.start < 0.25 * picture.seconds
    ink = "white" if inside and colour == _RED else _INK
    place = {"x": span.start + (gap if inside else -gap), "ha": "left" if inside else "right"}
    axes.text(y=row, s=span.name, va="center", fontsize=8, color=ink, **place)


def _panel(axes: Any, panel: Panel, lines: Sequence[Line], picture: Picture) -> None:
    top = max((value for line in lines for _, value in line.points), default=1.0)
    scale, unit = _unit(panel.unit, top)
    for number, line in enumerate(lines):
        times, values = zip(*((at, value * scale) for at, value in line.points), strict=True)
        drawn = {"color": _COLOURS[number % len(_COLOURS)], "linewidth": 1.3}
        axes.plot(times, values, label=line.name if number < _MOST_NAMES else None, **drawn)
    if panel.red is not None:
        axes.axhline(panel.red * scale, color=_RED, linewidth=0.9, linestyle=(0, (4, 3)))
    for span in picture.faults:
        axes.axvspan(span.start, span.end, color="#d4d9df", alpha=0.35, linewidth=0)
    axes.set_title(f"{panel.title} [{unit}]" if unit else panel.title, fontsize=9.5, loc="left", fontweight="bold")
    axes.set_ylim(bottom=0, top=1.12 * max(top, panel.red or 0, 1e-9) * scale)
    axes.grid(axis="y", color="#e6e9ed", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    _time(axes, picture)
    if lines:
        axes.legend(
            loc="upper left", bbox_to_anchor=(0, -0.11), ncols=3, fontsize=7.5, frameon=False, borderpad=0,
            handlelength=1.2, columnspacing=1.2,
        )  # fmt: skip


def _time(axes: Any, picture: Picture) -> None:
    axes.set_xlim(0, picture.seconds)
    every = 60 * max(1, round(picture.seconds / 60 / 12))
    ticks = range(0, int(picture.seconds) + 1, every)
    axes.set_xticks(ticks, [f"{at // 60}" if at else "0 min" for at in ticks], fontsize=7.5)
    axes.tick_params(length=2)


def _unit(unit: str, top: float) -> tuple[float, str]:
    """The factor for Grafana's unit, and how it is written."""
    if unit == "s":
        return (1000, "ms") if top < 1 else (1, "s")
    known: Mapping[str, tuple[float, str]] = {
        "reqps": (1, "per second"), "ops": (1, "per second"), "percentunit": (100, "%"),
        "bytes": (1 / _MIB, "MiB"), "none": (1, ""), "short": (1, ""),
    }  # fmt: skip
    return known.get(unit, (1, unit))
