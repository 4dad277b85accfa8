"""Grafana dashboards of a platform, described in Python and rendered with Grafana's own library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.services.observability.dashboards import api, database, gateway, machine, overview, qdrant, recovery, redis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.observability.dashboards.model import Board

BOARDS: tuple[Board, ...] = (
    overview.BOARD,
    api.BOARD,
    qdrant.BOARD,
    database.BOARD,
    redis.BOARD,
    gateway.BOARD,
    recovery.BOARD,
    machine.BOARD,
)


def render_dashboards() -> Mapping[str, str]:
    """Return the JSON of all dashboards by file name, which hold for every platform that is scraped."""
    from ragops.services.observability.dashboards.builder import render

    return {f"{board.uid}.json": render(board) for board in BOARDS}
