"""Alerts about Qdrant: its nodes, their consensus, the copies of every shard."""

from __future__ import annotations

from ragops.services.observability.rules.model import PLATFORM, Alert, Group, Severity

_QUERY = "/collections/{collection_name}/points/(query|search).*|/qdrant.Points/(Query|Search).*"
_BUCKETS = "responses_duration_seconds_bucket"
_NODE_VIEWS = (
    f"max by ({PLATFORM}) (cluster_peers_total) != min by ({PLATFORM}) (cluster_peers_total)"
    f" or max by ({PLATFORM}) (cluster_term) != min by ({PLATFORM}) (cluster_term)"
)
_ERRORS = (
    f'sum by ({PLATFORM}, instance) (rate(rest_responses_total{{job="qdrant", status=~"5.."}}[5m])) > 0.1'
    f" or sum by ({PLATFORM}, instance)"
    ' (rate(grpc_responses_total{job="qdrant", status=~"2|4|8|13|14|15"}[5m])) > 0.1'
)
_SLOW = " or ".join(
    f"histogram_quantile(0.95, sum by ({PLATFORM}, instance, le)"
    f' (rate({kind}_{_BUCKETS}{{job="qdrant", endpoint=~"{_QUERY}"}}[10m]))) > 0.5'
    for kind in ("grpc", "rest")
)

_NODES = (
    Alert(
        "QdrantNodeDown",
        'up{job="qdrant"} == 0',
        "2m",
        Severity.WARNING,
        "{{ $labels.instance }} does not answer",
        "The other nodes answer for it where collections have copies; there is no copy to spare until it is back.",
        "qdrant-node-down",
    ),
    Alert(
        "QdrantQuorumLost",
        f'count by ({PLATFORM}) (up{{job="qdrant"}} == 1) * 2 <= count by ({PLATFORM}) (up{{job="qdrant"}})'
        f' or count by ({PLATFORM}) (up{{job="qdrant"}} == 0) == count by ({PLATFORM}) (up{{job="qdrant"}})',
        "1m",
        Severity.CRITICAL,
        "Not more than half of the Qdrant nodes answer",
        "Without a majority no collection can be changed, and shards without a copy on what is left are away.",
        "qdrant-quorum-lost",
        "qdrant",
    ),
    Alert(
        "QdrantNodesDisagree",
        _NODE_VIEWS,
        "5m",
        Severity.CRITICAL,
        "The Qdrant nodes do not agree on the cluster",
        "They report another number of peers or another term: a node is cut off, or the cluster has split.",
        "qdrant-nodes-disagree",
        "qdrant",
    ),
    Alert(
        "QdrantElections",
        f"max by ({PLATFORM}) (changes(cluster_term[15m])) > 3",
        "",
        Severity.WARNING,
        "Qdrant elected {{ $value | humanize }} leaders in a quarter of an hour",
        "Nodes lose sight of their leader: the network between them, or a machine without processor time.",
        "qdrant-elections",
        "qdrant",
    ),
    Alert(
        "QdrantConsensusStopped",
        'cluster_working_state{job="qdrant", state="stopped"} == 1'
        ' or cluster_pending_operations_total{job="qdrant"} > 0',
        "10m",
        Severity.CRITICAL,
        "The consensus of {{ $labels.instance }} does not move",
        "It has stopped, which a full disk does, or changes have been waiting for ten minutes.",
        "qdrant-consensus-stopped",
    ),
    Alert(
        "QdrantRecoveryMode",
        'app_status_recovery_mode{job="qdrant"} == 1',
        "5m",
        Severity.CRITICAL,
        "{{ $labels.instance }} runs in recovery mode",
        "It has started without loading its collections, after it was killed for memory: it answers no search.",
        "qdrant-recovery-mode",
    ),
    Alert(
        "QdrantErrors",
        _ERRORS,
        "5m",
        Severity.WARNING,
        "{{ $labels.instance }} fails {{ $value | humanize }} requests a second",
        "The API asks another node if there is one, so that clients may see nothing yet.",
        "qdrant-errors",
        "qdrant",
    ),
    Alert(
        "QdrantSlow",
        _SLOW,
        "10m",
        Severity.WARNING,
        "One search in twenty takes longer than {{ $value | humanizeDuration }} on {{ $labels.instance }}",
        "Searches are slow in the engine itself: memory, disk, an index that is not built yet.",
        "qdrant-slow",
        "qdrant",
    ),
    Alert(
        "QdrantFilesNearLimit",
        'process_open_fds{job="qdrant"} / process_max_fds{job="qdrant"} > 0.8'
        ' or process_open_mmaps{job="qdrant"} / system_max_mmaps{job="qdrant"} > 0.8',
        "15m",
        Severity.WARNING,
        "{{ $labels.instance }} uses {{ $value | humanizePercentage }} of the files or maps that it may open",
        "At the limit it fails writes. Many collections and segments need many files.",
        "qdrant-files-near-limit",
    ),
)
_COPIES = (
    Alert(
        "QdrantDeadReplica",
        f"max by ({PLATFORM}) (collection_dead_replicas) > 0",
        "10m",
        Severity.WARNING,
        "{{ $value | humanize }} shards have a replica that is not active",
        "A node reports a copy that is dead, partial or being filled, for ten minutes: a copy less to lose.",
        "qdrant-dead-replica",
        "qdrant",
    ),
    Alert(
        "QdrantShardWithoutReplica",
        f"max by ({PLATFORM}) (collection_active_replicas_min) == 0"
        f' and max by ({PLATFORM}) (collection_points{{job="qdrant"}}) > 0',
        "1m",
        Severity.CRITICAL,
        "A shard has no active replica",
        "Searches in its collection fail or miss documents, and what is written to it is refused.",
        "qdrant-dead-replica",
        "qdrant",
    ),
    Alert(
        "CollectionUnderReplicated",
        f"max by ({PLATFORM}) (collection_active_replicas_min)"
        f" < min by ({PLATFORM}) (ragops_qdrant_replication_factor)",
        "15m",
        Severity.WARNING,
        "A shard has {{ $value | humanize }} active replicas, fewer than ragops.yaml asks for",
        "Copies are missing, not only dead: no node will make them by itself.",
        "collection-under-replicated",
        "qdrant",
    ),
    Alert(
        "QdrantTransferStuck",
        'max by (platform, environment, instance, id) (collection_shard_transfer_incoming{job="qdrant"}) > 0',
        "1h",
        Severity.WARNING,
        "A shard of {{ $labels.id }} has been on its way to {{ $labels.instance }} for an hour",
        "A move or a copy does not come to its end; until then that copy answers nothing.",
        "qdrant-transfer-stuck",
        "qdrant",
    ),
    Alert(
        "QdrantUpdatesWait",
        'max by (platform, environment, instance, id) (collection_update_queue_length{job="qdrant"}) > 1000',
        "15m",
        Severity.WARNING,
        "{{ $value | humanize }} updates of {{ $labels.id }} wait on {{ $labels.instance }}",
        "Writes come faster than the node applies them; what waits is not found by a search yet.",
        "qdrant-updates-wait",
        "qdrant",
    ),
)

GROUP = Group("qdrant", alerts=(*_NODES, *_COPIES))
