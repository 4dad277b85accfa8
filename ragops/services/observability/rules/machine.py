"""Alerts about the machine and the containers on it."""

from __future__ import annotations

from ragops.services.observability.rules.model import PLATFORM, Alert, Group, Severity

_REAL = 'fstype!~"tmpfs|ramfs|overlay|squashfs|nsfs|fuse.*|devtmpfs|iso9660"'
_FREE = f"node_filesystem_avail_bytes{{{_REAL}}} / (node_filesystem_size_bytes{{{_REAL}}} > 0)"
_LIMITED = f"max by ({PLATFORM}, container_id) (container_spec_memory_limit_bytes > 0)"
# Other containers of the machine are none of this platform's, and cAdvisor has their ids alone.
_NAMED = (
    f"* on ({PLATFORM}, container_id) group_left (container)"
    f" max by ({PLATFORM}, container_id, container) (ragops_container_info)"
)

_DISKS = (
    Alert(
        "DiskFullSoon",
        f"predict_linear(node_filesystem_avail_bytes{{{_REAL}}}[6h], 4 * 86400) < 0 and {_FREE} < 0.4",
        "1h",
        Severity.WARNING,
        "{{ $labels.mountpoint }} is full in four days",
        "If it fills up as in the last six hours. A full disk stops Qdrant's consensus, PostgreSQL and backups.",
        "disk-full",
        "machine",
    ),
    Alert(
        "DiskNearlyFull",
        f"{_FREE} < 0.1",
        "5m",
        Severity.WARNING,
        "{{ $labels.mountpoint }} has {{ $value | humanizePercentage }} left",
        "A recovery point, a restore or an upgrade needs as much space as the data.",
        "disk-full",
        "machine",
    ),
    Alert(
        "DiskFull",
        f"{_FREE} < 0.03",
        "1m",
        Severity.CRITICAL,
        "{{ $labels.mountpoint }} has {{ $value | humanizePercentage }} left",
        "Services are about to fail: make space now.",
        "disk-full",
        "machine",
    ),
    Alert(
        "DiskInodesFew",
        f"node_filesystem_files_free{{{_REAL}}} / (node_filesystem_files{{{_REAL}}} > 0) < 0.05",
        "15m",
        Severity.WARNING,
        "{{ $labels.mountpoint }} can hold hardly any more files",
        "{{ $value | humanizePercentage }} of its inodes are left; without one no file can be made.",
        "disk-full",
        "machine",
    ),
    Alert(
        "DiskReadOnly",
        f"node_filesystem_readonly{{{_REAL}}} == 1 and on (platform, environment, instance, device, mountpoint)"
        f" (node_filesystem_readonly{{{_REAL}}} offset 1h) == 0",
        "",
        Severity.CRITICAL,
        "{{ $labels.mountpoint }} has become read-only",
        "The kernel does so after errors of the disk: everything that writes there fails.",
        "disk-read-only",
        "machine",
    ),
)
_MEMORY = (
    Alert(
        "MemoryNearLimit",
        "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 0.08",
        "10m",
        Severity.WARNING,
        "The machine has {{ $value | humanizePercentage }} of its memory left",
        "The kernel will end a process for memory soon, and takes the largest: Qdrant or PostgreSQL.",
        "memory",
        "machine",
    ),
    Alert(
        "OomKill",
        "increase(node_vmstat_oom_kill[10m]) > 0",
        "",
        Severity.CRITICAL,
        "The kernel killed {{ $value | humanize }} processes for want of memory",
        "What was killed starts again; what it did is lost, and it happens again unless something changes.",
        "memory",
        "machine",
    ),
    Alert(
        "ContainerMemoryNearLimit",
        f"max by ({PLATFORM}, container_id) (container_memory_working_set_bytes) / {_LIMITED} {_NAMED} > 0.92",
        "10m",
        Severity.WARNING,
        "{{ $labels.container }} uses {{ $value | humanizePercentage }} of the memory that it may use",
        "It is killed at its limit. Its section of ragops.yaml has `memory`.",
        "memory",
        "machine",
    ),
    Alert(
        "ContainerRestarts",
        f"max by ({PLATFORM}, container_id) (changes(container_start_time_seconds[15m])) {_NAMED} > 2",
        "",
        Severity.CRITICAL,
        "{{ $labels.container }} was started {{ $value | humanize }} times in a quarter of an hour",
        "It ends soon after its start, and Docker starts it again.",
        "container-restarts",
        "machine",
    ),
)
_CLOCK_AND_LOAD = (
    Alert(
        "ClockSkew",
        "abs(node_timex_offset_seconds) > 0.05",
        "10m",
        Severity.WARNING,
        "The machine's clock is {{ $value | humanizeDuration }} off",
        "Tokens are refused or live too long, and recovery points and logs have wrong times.",
        "clock",
        "machine",
    ),
    Alert(
        "ClockNotSynchronized",
        "min_over_time(node_timex_sync_status[15m]) == 0 and node_timex_maxerror_seconds >= 16",
        "1h",
        Severity.WARNING,
        "Nothing keeps the machine's clock right",
        "No time service synchronizes it, so that it drifts by seconds a day.",
        "clock",
        "machine",
    ),
    Alert(
        "ProcessorSaturated",
        f"node_load15 / on ({PLATFORM}, instance)"
        f' count by ({PLATFORM}, instance) (node_cpu_seconds_total{{mode="idle"}}) > 2',
        "30m",
        Severity.WARNING,
        "{{ $value | humanize }} times as much wants to run as the machine has processors",
        "Everything waits: searches are slow, elections of Qdrant fail, health checks time out.",
        "processor-saturated",
        "machine",
    ),
)

GROUP = Group("machine", alerts=(*_DISKS, *_MEMORY, *_CLOCK_AND_LOAD))
