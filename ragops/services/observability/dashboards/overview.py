"""The platform at a glance: is anyone hurt, and by what."""

from __future__ import annotations

from ragops.services.observability.dashboards.model import Board, Row, lines, number

_NOW = Row(
    "Now",
    (
        number(
            "Alerts",
            "none",
            "How many alerts fire.",
            "open Prometheus or Alertmanager: each names its runbook.",
            'count(ALERTS{@, alertstate="firing", severity=~"critical|warning"}) or vector(0)',
            red=1,
        ),
        number(
            "Targets that are down",
            "none",
            "Pages of metrics that do not answer.",
            "`ragops status` names what does not run.",
            "count(up{@} == 0) or 0 * count(up{@})",
            red=1,
            alert="ExporterDown",
        ),
        number(
            "Requests",
            "reqps",
            "What clients ask, at the gateway.",
            "never: it only shows how busy the platform is.",
            "ragops:requests:rate5m{@}",
        ),
        number(
            "Failed requests",
            "percentunit",
            "The part of all requests that ended with 5xx in five minutes.",
            "`ragops health` names the service that fails.",
            "ragops:error_ratio:rate5m{@}",
            red=0.001,
            alert="Availability999BurnsFast",
        ),
    ),
)
_LEVELS = Row(
    "Service level",
    (
        number(
            "Availability, 1 day",
            "percentunit",
            "The part of all requests that did not fail, within a day.",
            "the budget of 99.9% is being spent: `ragops slo` has what is left.",
            "1 - ragops:error_ratio:rate1d{@}",
            red=0.999,
            low_is_red=True,
            alert="Availability999BurnsSlowly",
        ),
        number(
            "Availability, 3 days",
            "percentunit",
            "The same within three days.",
            "as above; 99.99% is the goal of a platform with three nodes.",
            "1 - ragops:error_ratio:rate3d{@}",
            red=0.999,
            low_is_red=True,
            alert="Availability9999BurnsSlowly",
        ),
        number(
            "Open breakers",
            "none",
            "Dependencies that the API does not ask at present.",
            "bring the dependency back; the breaker closes by itself.",
            "count(ragops_api_breaker_state{@} == 2) or 0 * count(ragops_api_breaker_state{@})",
            red=1,
            alert="BreakerOpen",
        ),
        number(
            "Age of the newest recovery point",
            "s",
            "How much would be lost with the disk.",
            "take one now: `ragops backup run`.",
            "time() - (ragops_backup_newest_timestamp_seconds{@} or ragops_backup_last_success_timestamp_seconds{@})",
            red=93600,
            alert="BackupTooOld",
        ),
    ),
)
_TIME = Row(
    "Over time",
    (
        lines(
            "Requests and failures",
            "reqps",
            "When it began.",
            "look at the other dashboards at that time.",
            ("ragops:requests:rate5m{@}", "requests"),
            ("ragops:errors:rate5m{@}", "failed"),
        ),
        lines(
            "Targets",
            "none",
            "Which part was away, and when: 1 is up.",
            "`ragops status` names what does not run.",
            ("up{%}", "{{job}} {{instance}}"),
            red=1,
            low_is_red=True,
            alert="ExporterDown",
        ),
        lines(
            "Processor time by container",
            "percentunit",
            "Which part is busy; 100% is one processor.",
            "only in comparison: see the dashboard of that service.",
            (
                "sum by (container) (rate(container_cpu_usage_seconds_total{@}[$__rate_interval])"
                " * on (container_id) group_left (container) ragops_container_info{@})",
                "{{container}}",
            ),
        ),
        lines(
            "Memory by container",
            "bytes",
            "Which part grows.",
            "raise its `memory` before it reaches its limit.",
            (
                "sum by (container) (container_memory_working_set_bytes{@}"
                " * on (container_id) group_left (container) ragops_container_info{@})",
                "{{container}}",
            ),
            alert="ContainerMemoryNearLimit",
        ),
    ),
)

BOARD = Board("ragops-overview", "Overview", "Is anyone hurt, and by what: begin here.", (_NOW, _LEVELS, _TIME))
