"""Alerts and recorded series of a platform, and the files of rules that Prometheus reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.services.observability.rules import (
    api,
    availability,
    gateway,
    machine,
    postgres,
    qdrant,
    recovery,
    redis,
    watchers,
)
from ragops.services.observability.rules.render import render_groups

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.observability.rules.model import Alert, Group

GROUPS: tuple[Group, ...] = (
    availability.GROUP,
    api.GROUP,
    gateway.GROUP,
    qdrant.GROUP,
    postgres.GROUP,
    redis.GROUP,
    recovery.GROUP,
    machine.GROUP,
    watchers.GROUP,
)


def alerts() -> dict[str, Alert]:
    """Return all alerts by name."""
    return {alert.name: alert for group in GROUPS for alert in group.alerts}


def render_rules(runbooks: str = "") -> Mapping[str, str]:
    """Return the rule files of Prometheus, YAML by file name, which hold for every platform that it scrapes.

    `runbooks` is a URL below which the pages of docs/runbooks/ can be read; each alert then has a `runbook_url`.
    """
    return render_groups(GROUPS, runbooks)
