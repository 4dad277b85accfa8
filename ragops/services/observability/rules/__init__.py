"""Recording and alerting rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.observability.settings import ObservabilitySettings


def render_rules(settings: ObservabilitySettings, labels: Mapping[str, str]) -> Mapping[str, str]:  # noqa: ARG001
    """Return the files of rules by name (`NAME.yml`); `labels` are platform and environment of every series."""
    return {}
