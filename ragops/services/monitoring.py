"""Logins that may read statistics and nothing else: whom exporters are, to the services that they ask.

A service makes its own login if `Declaration.is_monitored`; the names stand here because two services need each.
"""

from __future__ import annotations

MONITOR = "monitor"  # the role of such a login in an endpoint

DATABASE_ROLE = "rag_monitor"
DATABASE_SECRET = "timescaledb_monitor"  # noqa: S105  the name of the secret

REDIS_USER = "ragops-monitor"
REDIS_SECRET = "redis_monitor"  # noqa: S105  the name of the secret

# Qdrant has no right for metrics alone: its read-only key is the least that opens /metrics.
QDRANT_SECRET = "qdrant_read_only_key"  # noqa: S105  the name of the secret
