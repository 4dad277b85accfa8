"""Alerts about what watches: Prometheus, Alertmanager, Grafana, exporters."""

from __future__ import annotations

from ragops.services.observability.rules.model import PLATFORM, Alert, Group, Severity

_EXPORTERS = "node|containers|ollama|prometheus|alertmanager|grafana"

_ALERTS = (
    Alert(
        "Watchdog",
        "vector(1)",
        "",
        Severity.NONE,
        "Alerts arrive",
        "It always fires. Have a service outside of the machine expect it, and call you when it is missing.",
        "watchdog",
        "observability",
    ),
    Alert(
        "ExporterDown",
        f'up{{job=~"{_EXPORTERS}"}} == 0',
        "5m",
        Severity.WARNING,
        "{{ $labels.job }} gives no figures",
        "Alerts and panels that read them are blind.",
        "exporter-down",
    ),
    Alert(
        "PlatformNotScraped",
        'absent(up{job="api"})',
        "10m",
        Severity.CRITICAL,
        "Prometheus has no platform to scrape",
        "Its list of targets is empty or was not read: no other alert can fire.",
        "exporter-down",
        "observability",
    ),
    Alert(
        "ScrapesSlow",
        "scrape_duration_seconds > 8",
        "10m",
        Severity.WARNING,
        "{{ $labels.job }} takes {{ $value | humanizeDuration }} to give its figures",
        "At the limit of the scrape they are missing altogether.",
        "exporter-down",
    ),
    Alert(
        "PrometheusConfigInvalid",
        "prometheus_config_last_reload_successful == 0",
        "5m",
        Severity.WARNING,
        "Prometheus could not read its configuration",
        "It continues with the last good one; new targets and rules are not there.",
        "prometheus-config-invalid",
        "observability",
    ),
    Alert(
        "PrometheusRulesFail",
        f"sum by ({PLATFORM}, rule_group) (increase(prometheus_rule_evaluation_failures_total[5m])) > 0",
        "5m",
        Severity.CRITICAL,
        "Prometheus could not evaluate rules of {{ $labels.rule_group }}",
        "Alerts of that group do not fire, whatever happens.",
        "prometheus-rules-fail",
        "observability",
    ),
    Alert(
        "PrometheusStorageFails",
        "increase(prometheus_tsdb_compactions_failed_total[3h]) > 0"
        " or increase(prometheus_tsdb_wal_corruptions_total[3h]) > 0",
        "",
        Severity.WARNING,
        "Prometheus has trouble with its storage",
        "A compaction failed, or its log is damaged: the disk is full or fails.",
        "prometheus-storage-fails",
        "observability",
    ),
    Alert(
        "AlertmanagerUnreachable",
        "prometheus_notifications_alertmanagers_discovered < 1 or rate(prometheus_notifications_errors_total[5m]) > 0",
        "5m",
        Severity.CRITICAL,
        "Prometheus cannot hand its alerts over",
        "No one is notified of anything, but what a missing Watchdog sets off.",
        "alertmanager",
        "observability",
    ),
    Alert(
        "NotificationsFail",
        f"sum by ({PLATFORM}, integration) (increase(alertmanager_notifications_failed_total[10m])) > 0",
        "5m",
        Severity.CRITICAL,
        "Alertmanager could not notify by {{ $labels.integration }}",
        "The receiver refuses, or its secret is wrong: alerts fire and no one hears of it.",
        "alertmanager",
        "observability",
    ),
    Alert(
        "AlertmanagerConfigInvalid",
        "alertmanager_config_last_reload_successful == 0",
        "5m",
        Severity.WARNING,
        "Alertmanager could not read its configuration",
        "It continues with the last good one.",
        "alertmanager",
        "observability",
    ),
)

GROUP = Group("watchers", alerts=_ALERTS)
