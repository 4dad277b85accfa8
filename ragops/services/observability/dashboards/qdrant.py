"""Qdrant: nodes and their consensus, copies of shards, searches as the engine sees them."""

from __future__ import annotations

from ragops.services.observability.dashboards.model import Board, Row, lines, number

_QUERY = 'endpoint=~".*(query|search|Query|Search).*"'


def _slow(kind: str) -> str:
    series = f"{kind}_responses_duration_seconds_bucket{{%, {_QUERY}}}"
    return f"histogram_quantile(0.95, sum by (instance, le) (rate({series}[$__rate_interval])))"


def _rate(selector: str, by: str) -> str:
    rates = (f"rate({kind}_responses_total{{{selector}}}[$__rate_interval])" for kind in ("grpc", "rest"))
    return " or ".join(f"sum by ({by}) ({one})" for one in rates)


_NODES = Row(
    "Nodes",
    (
        number(
            "Nodes that answer",
            "none",
            "How many nodes give metrics.",
            "`ragops cluster status` names those that are away.",
            'count(up{%, job="qdrant"} == 1)',
            red=1,
            low_is_red=True,
            alert="QdrantNodeDown",
        ),
        number(
            "Replicas that are not active",
            "none",
            "Shards with a copy that is dead or being filled.",
            "there is one copy less to lose.",
            "max(collection_dead_replicas{%})",
            red=1,
            alert="QdrantDeadReplica",
        ),
        number(
            "Fewest active replicas",
            "none",
            "Of the shard that has the fewest.",
            "at 0 a shard cannot be searched.",
            "max(collection_active_replicas_min{%})",
            red=1,
            low_is_red=True,
            alert="QdrantShardWithoutReplica",
        ),
        number(
            "Points",
            "short",
            "In all collections, as the node with the most counts them.",
            "never: it only shows how much there is.",
            "max(sum by (instance) (collection_points{%}))",
        ),
        lines(
            "Peers",
            "none",
            "How many nodes each node has in its cluster.",
            "they differ: a node is cut off.",
            ("cluster_peers_total{%}", "{{instance}}"),
            alert="QdrantNodesDisagree",
        ),
        lines(
            "Term",
            "none",
            "Grows by one with every election of a leader.",
            "it grows all the time: nodes lose sight of their leader.",
            ("cluster_term{%}", "{{instance}}"),
            alert="QdrantElections",
        ),
        lines(
            "Changes that wait",
            "none",
            "Operations of the consensus that a node has not applied.",
            "its consensus has stopped, as a full disk does.",
            ("cluster_pending_operations_total{%}", "{{instance}}"),
            red=1,
            alert="QdrantConsensusStopped",
        ),
        lines(
            "Memory",
            "bytes",
            "What each node holds in memory.",
            "near `qdrant.memory` it will be killed.",
            ('memory_resident_bytes{%, job="qdrant"}', "{{instance}}"),
            alert="ContainerMemoryNearLimit",
        ),
        lines(
            "Open files",
            "percentunit",
            "Files and memory maps against their limits.",
            "at the limit writes fail.",
            ('process_open_fds{%, job="qdrant"} / process_max_fds{%, job="qdrant"}', "files {{instance}}"),
            ('process_open_mmaps{%, job="qdrant"} / system_max_mmaps{%, job="qdrant"}', "maps {{instance}}"),
            red=0.8,
            alert="QdrantFilesNearLimit",
        ),
    ),
)
_COLLECTIONS = Row(
    "Collections",
    (
        lines(
            "Points by collection",
            "short",
            "How collections grow, on each node.",
            "never: see the disk for what it costs.",
            ("max by (id) (collection_points{%})", "{{id}}"),
        ),
        lines(
            "Optimizations",
            "none",
            "Indexes that are being built.",
            "never: long ones make searches slow for that time.",
            ("collection_running_optimizations{%}", "{{id}} {{instance}}"),
        ),
        lines(
            "Transfers",
            "none",
            "Shards on their way to and from nodes.",
            "one that does not end: `ragops cluster status`.",
            ("collection_shard_transfer_incoming{%}", "to {{instance}} {{id}}"),
            ("collection_shard_transfer_outgoing{%}", "from {{instance}} {{id}}"),
            alert="QdrantTransferStuck",
        ),
        lines(
            "Updates that wait",
            "none",
            "Writes that a node has not applied yet.",
            "no search finds them yet.",
            ("collection_update_queue_length{%}", "{{id}} {{instance}}"),
            red=1000,
            alert="QdrantUpdatesWait",
        ),
    ),
)
_REQUESTS = Row(
    "Requests",
    (
        lines(
            "Requests",
            "reqps",
            "What each node answers.",
            "never: one that gets none is left out by the API.",
            (_rate("%", "instance"), "{{instance}}"),
        ),
        lines(
            "Failed requests",
            "reqps",
            "Errors of each node.",
            "its log names the collection.",
            ('sum by (instance) (rate(rest_responses_total{%, status=~"5.."}[$__rate_interval]))', "REST {{instance}}"),
            (
                'sum by (instance) (rate(grpc_responses_total{%, status=~"2|4|8|13|14|15"}[$__rate_interval]))',
                "gRPC {{instance}}",
            ),
            red=0.1,
            alert="QdrantErrors",
        ),
        lines(
            "95th percentile of searches",
            "s",
            "As the engine sees them, without network and API.",
            "memory, disk, or an index that is not built yet.",
            (_slow("grpc"), "gRPC {{instance}}"),
            (_slow("rest"), "REST {{instance}}"),
            red=0.5,
            alert="QdrantSlow",
        ),
        lines(
            "Page faults",
            "short",
            "Reads from disk for memory that was not there, a second.",
            "vectors do not fit into memory: searches wait for the disk.",
            ('rate(process_major_page_faults_total{%, job="qdrant"}[$__rate_interval])', "{{instance}}"),
            alert="QdrantSlow",
        ),
    ),
)

BOARD = Board(
    "ragops-qdrant",
    "Qdrant",
    "Nodes, copies and searches of the vector store.",
    (_NODES, _COLLECTIONS, _REQUESTS),
    'up{job="qdrant"}',
)
