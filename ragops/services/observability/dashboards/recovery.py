"""Recovery: recovery points, copies, drills with what they measured, the runs by the clock."""

from __future__ import annotations

from ragops.services.observability.dashboards.model import Board, Row, lines, number

_POINTS = Row(
    "Recovery points",
    (
        number(
            "Age of the newest",
            "s",
            "How much would be lost with the disk.",
            "take one now: `ragops backup run`.",
            "time() - (ragops_backup_newest_timestamp_seconds{@} or ragops_backup_last_success_timestamp_seconds{@})",
            red=93_600,
            alert="BackupTooOld",
        ),
        number(
            "Last run",
            "none",
            "1 if it took a recovery point with all copies.",
            "`ragops schedule show` has its error.",
            "ragops_backup_last_run_success{@}",
            red=1,
            low_is_red=True,
            alert="BackupFailed",
        ),
        number(
            "Copies missing",
            "none",
            "Repositories without the newest one.",
            "`ragops backup copy` makes them.",
            "ragops_backup_copies_missing{@}",
            red=1,
            alert="BackupCopiesMissing",
        ),
        number(
            "Drift",
            "none",
            "Resources that are not as they were provisioned.",
            "`ragops drift` names them.",
            "ragops_drift_resources{@}",
            red=1,
            alert="DriftFound",
        ),
        lines(
            "Size",
            "bytes",
            "Of the newest recovery point.",
            "it fell by half: something was backed up empty.",
            ("ragops_backup_size_bytes{@}", "size"),
            alert="BackupShrank",
        ),
        lines(
            "Duration",
            "s",
            "Of the last backup.",
            "it grows towards the hour at which work begins.",
            ("ragops_backup_duration_seconds{@}", "backup"),
        ),
        lines(
            "In the repository",
            "none",
            "How many good recovery points the last look found, and what is wrong with the newest.",
            "it has faults, or the number falls to 0: `ragops backup list`.",
            ("ragops_backup_points{@}", "recovery points"),
            ("ragops_backup_newest_faults{@}", "faults of the newest"),
            alert="BackupLost",
        ),
    ),
)
_PROOF = Row(
    "Proof",
    (
        number(
            "Last proof of a restore",
            "s",
            "Since a drill, `verify --deep` or restore went well.",
            "`ragops backup drill`.",
            "time() - ragops_proof_last_success_timestamp_seconds{@}",
            red=3_024_000,
            alert="DrillNeverDone",
        ),
        number(
            "Last drill",
            "none",
            "1 if it went well.",
            "what came back is not what was saved.",
            "ragops_drill_last_run_success{@}",
            red=1,
            low_is_red=True,
            alert="DrillFailed",
        ),
        number(
            "RTO measured",
            "s",
            "How long the restore of the last drill took.",
            "longer than you can be away.",
            "ragops_drill_restore_duration_seconds{@}",
            alert="DrillTooOld",
        ),
        number(
            "RPO measured",
            "s",
            "How old the data of the last drill were.",
            "older than you can afford to lose.",
            "ragops_drill_data_age_seconds{@}",
            alert="DrillTooOld",
        ),
        lines(
            "Drills",
            "s",
            "What drills measured, over time.",
            "they take longer than you can be away.",
            ("ragops_drill_duration_seconds{@}", "whole drill"),
            ("ragops_drill_restore_duration_seconds{@}", "restore"),
        ),
        lines(
            "Runs by the clock",
            "s",
            "Since the last run of each kind ended.",
            "it has not run for more than a day.",
            ("time() - ragops_schedule_last_run_timestamp_seconds{@}", "{{kind}}"),
            red=93_600,
            alert="ScheduleNotRun",
        ),
        lines(
            "Health at the last check",
            "none",
            "0 ok, 1 degraded, 2 down.",
            "`ragops health` has the reason and the remedy.",
            ("ragops_health_status{@}", "{{service}}"),
            red=2,
            alert="HealthDown",
        ),
    ),
)

BOARD = Board(
    "ragops-recovery",
    "Recovery",
    "Whether the platform could be brought back, and how long it would take.",
    (_POINTS, _PROOF),
)
