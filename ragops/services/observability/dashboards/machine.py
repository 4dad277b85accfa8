"""The machine: disks, memory, processors, clock, containers, and what watches them."""

from __future__ import annotations

from ragops.services.observability.dashboards.model import Board, Row, lines, number

_REAL = 'fstype!~"tmpfs|ramfs|overlay|squashfs|nsfs|fuse.*|devtmpfs|iso9660"'
_NAMED = "* on (container_id) group_left (container) ragops_container_info{@}"

_NOW = Row(
    "Now",
    (
        number(
            "Least free disk",
            "percentunit",
            "Of the file system with the least.",
            "make space: services are about to fail.",
            f"min(node_filesystem_avail_bytes{{@, {_REAL}}} / (node_filesystem_size_bytes{{@, {_REAL}}} > 0))",
            red=0.1,
            low_is_red=True,
            alert="DiskNearlyFull",
        ),
        number(
            "Free memory",
            "percentunit",
            "Of the whole machine.",
            "the kernel will end a process soon.",
            "min(node_memory_MemAvailable_bytes{@} / node_memory_MemTotal_bytes{@})",
            red=0.08,
            low_is_red=True,
            alert="MemoryNearLimit",
        ),
        number(
            "Killed for memory",
            "none",
            "Processes, in a day.",
            "raise the memory of what was killed.",
            "sum(increase(node_vmstat_oom_kill{@}[1d]))",
            red=1,
            alert="OomKill",
        ),
        number(
            "Clock off by",
            "s",
            "Against its time servers.",
            "install a time service.",
            "max(abs(node_timex_offset_seconds{@}))",
            red=0.05,
            alert="ClockSkew",
        ),
    ),
)
_MACHINE = Row(
    "Machine",
    (
        lines(
            "Free disk",
            "percentunit",
            "By file system.",
            "it falls: see what grows.",
            (
                f"node_filesystem_avail_bytes{{@, {_REAL}}} / (node_filesystem_size_bytes{{@, {_REAL}}} > 0)",
                "{{mountpoint}}",
            ),
            red=0.1,
            low_is_red=True,
            alert="DiskFullSoon",
        ),
        lines(
            "Memory",
            "bytes",
            "Used, available and all.",
            "a process will be killed soon.",
            ("node_memory_MemTotal_bytes{@} - node_memory_MemAvailable_bytes{@}", "used"),
            ("node_memory_MemTotal_bytes{@}", "all"),
            alert="MemoryNearLimit",
        ),
        lines(
            "Processors",
            "percentunit",
            "What they do; 100% is all of them.",
            "`iowait` is a slow disk.",
            ('avg by (mode) (rate(node_cpu_seconds_total{@, mode!="idle"}[$__rate_interval]))', "{{mode}}"),
            alert="ProcessorSaturated",
        ),
        lines(
            "Load",
            "none",
            "What wants to run, and how many processors there are.",
            "everything waits.",
            ("node_load5{@}", "load"),
            ('count(node_cpu_seconds_total{@, mode="idle"})', "processors"),
            alert="ProcessorSaturated",
        ),
        lines(
            "Disk",
            "percentunit",
            "The part of the time in which each disk was busy.",
            "writes wait: Redis and PostgreSQL too.",
            ("rate(node_disk_io_time_seconds_total{@}[$__rate_interval])", "{{device}}"),
            red=0.95,
            alert="RedisDiskSlow",
        ),
        lines(
            "Network",
            "Bps",
            "To and from the machine.",
            "never: errors are in the next line of the machine's log.",
            ('rate(node_network_receive_bytes_total{@, device!~"lo|veth.*|br-.*"}[$__rate_interval])', "in {{device}}"),
            (
                'rate(node_network_transmit_bytes_total{@, device!~"lo|veth.*|br-.*"}[$__rate_interval])',
                "out {{device}}",
            ),
        ),
    ),
)
_CONTAINERS = Row(
    "Containers",
    (
        lines(
            "Processor time by container",
            "percentunit",
            "100% is one processor.",
            "only in comparison.",
            (
                f"sum by (container) (rate(container_cpu_usage_seconds_total{{@}}[$__rate_interval]) {_NAMED})",
                "{{container}}",
            ),
        ),
        lines(
            "Memory by container",
            "percentunit",
            "Of what each may use.",
            "at 100% it is killed.",
            (
                f"max by (container) (container_memory_working_set_bytes{{@}} {_NAMED})"
                f" / max by (container) ((container_spec_memory_limit_bytes{{@}} > 0) {_NAMED})",
                "{{container}}",
            ),
            red=0.92,
            alert="ContainerMemoryNearLimit",
        ),
        lines(
            "Restarts",
            "none",
            "Starts of each container, in an hour.",
            "its log shows why it ends.",
            (f"sum by (container) (changes(container_start_time_seconds{{@}}[1h]) {_NAMED})", "{{container}}"),
            red=3,
            alert="ContainerRestarts",
        ),
    ),
)
_WATCHERS = Row(
    "What watches",
    (
        lines(
            "Durations of scrapes",
            "s",
            "How long each page of metrics takes.",
            "at 10 s it is missing.",
            ("scrape_duration_seconds{@}", "{{job}} {{instance}}"),
            red=8,
            alert="ScrapesSlow",
        ),
        lines(
            "Series",
            "short",
            "How many Prometheus holds in memory.",
            "its memory grows with them.",
            ("prometheus_tsdb_head_series{@}", "series"),
        ),
        lines(
            "Failed rules and notifications",
            "none",
            "In an hour.",
            "alerts do not fire, or no one hears of them.",
            ("sum(increase(prometheus_rule_evaluation_failures_total{@}[1h]))", "rules"),
            ("sum by (integration) (increase(alertmanager_notifications_failed_total{@}[1h]))", "{{integration}}"),
            red=1,
            alert="NotificationsFail",
        ),
        lines(
            "Age of ragops's figures",
            "s",
            "Since a command of ragops wrote them.",
            "the nightly run does not run.",
            ("time() - node_textfile_mtime_seconds{@}", "{{file}}"),
            red=93_600,
            alert="FiguresTooOld",
        ),
    ),
)

BOARD = Board(
    "ragops-machine", "Machine", "Disks, memory, processors and containers.", (_NOW, _MACHINE, _CONTAINERS, _WATCHERS)
)
