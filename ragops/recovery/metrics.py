"""Figures of backups and restore drills in Prometheus's text format 0.0.4. Pure text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BackupFigures:
    """The last run: instant (seconds of the epoch) and bytes of the last recovery point, None where there is none."""

    last_success: float | None
    succeeded: bool
    seconds: float
    size: int | None
    copies_missing: int


@dataclass(frozen=True)
class DrillFigures:
    """The last drill: instant of the last good one, None where there is none, and the age of the data in seconds."""

    last_success: float | None
    succeeded: bool
    seconds: float
    data_age: float


def text(platform: str, environment: str, backup: BackupFigures | None, drill: DrillFigures | None) -> str:
    """All figures that are known, each with the labels `platform` and `environment`; ends with a line break."""
    labels = f'{{platform="{platform}",environment="{environment}"}}'  # names that need no escaping
    rows: list[tuple[str, str, float | None]] = []
    if backup:
        rows += [
            ("backup_last_success_timestamp_seconds", "When the last recovery point was taken.", backup.last_success),
            ("backup_last_run_success", "Whether the last run took one, with all copies.", backup.succeeded),
            ("backup_duration_seconds", "How long the last run took.", backup.seconds),
            ("backup_size_bytes", "What the last recovery point takes in its repository.", backup.size),
            ("backup_copies_missing", "Repositories that lack a copy of it.", backup.copies_missing),
        ]
    if drill:
        rows += [
            ("drill_last_success_timestamp_seconds", "When a drill last went well.", drill.last_success),
            ("drill_last_run_success", "Whether the last drill went well.", drill.succeeded),
            ("drill_duration_seconds", "How long the last drill took.", drill.seconds),
            ("drill_data_age_seconds", "How old its data were.", drill.data_age),
        ]
    lines = [
        f"# HELP ragops_{name} {what}\n# TYPE ragops_{name} gauge\nragops_{name}{labels} {_number(value)}\n"
        for name, what, value in rows
        if value is not None
    ]
    return "".join(lines)


def _number(value: float) -> str:
    """Whole numbers as such: an instant in a notation with an exponent loses its seconds."""
    return str(int(value)) if value == int(value) else f"{value:.3f}"
