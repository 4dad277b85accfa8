"""Metrics of backups and restore drills in Prometheus's text format."""

from __future__ import annotations

from dataclasses import dataclass

from ragops.adapters.prometheus import gauge, render


@dataclass(frozen=True)
class BackupMetrics:
    """The last run: time (seconds since the epoch) and bytes of the last recovery point, None if there is none."""

    last_success: float | None
    succeeded: bool
    seconds: float
    size: int | None
    copies_missing: int


@dataclass(frozen=True)
class DrillMetrics:
    """The last drill: time of the last good one, None if there is none, and the age of the data in seconds."""

    last_success: float | None
    succeeded: bool
    seconds: float
    data_age: float


def render_metrics(platform: str, environment: str, backup: BackupMetrics | None, drill: DrillMetrics | None) -> str:
    """Return all known figures, each with the labels `platform` and `environment`; empty if there are none."""
    rows: list[tuple[str, str, float | None]] = []
    if backup:
        rows += [
            ("backup_last_success_timestamp_seconds", "When the last recovery point was taken.", backup.last_success),
            ("backup_last_run_success", "Whether the last run took one, with all copies.", backup.succeeded),
            ("backup_duration_seconds", "Duration of the last run.", backup.seconds),
            ("backup_size_bytes", "Size of the last recovery point in its repository.", backup.size),
            ("backup_copies_missing", "Repositories that lack a copy of it.", backup.copies_missing),
        ]
    if drill:
        rows += [
            ("drill_last_success_timestamp_seconds", "When a drill last succeeded.", drill.last_success),
            ("drill_last_run_success", "Whether the last drill succeeded.", drill.succeeded),
            ("drill_duration_seconds", "Duration of the last drill.", drill.seconds),
            ("drill_data_age_seconds", "Age of its data.", drill.data_age),
        ]
    labels = {"platform": platform, "environment": environment}
    return render(gauge(f"ragops_{name}", what, [(labels, value)]) for name, what, value in rows if value is not None)
