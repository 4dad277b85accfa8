"""Names and pinned versions of Qdrant, and which collections are ragops' own."""

from __future__ import annotations

# The development engine: Qdrant Edge.
VERSION = "0.9.0"
ENGINE = "qdrant-edge"

# The server, as an image.
SERVER_VERSION = "1.18.3"
SERVER_ENGINE = "qdrant"
IMAGE = f"qdrant/qdrant:v{SERVER_VERSION}"

API_KEY_SECRET = "qdrant_api_key"  # noqa: S105  the name of the secret

# A collection of ragops' own, in which health checks write; no user's data, in no recovery point.
HEALTH_COLLECTION = "ragops-health"
# A restore builds every collection under this name first; a killed one leaves some, the next one continues with them.
RESTORE_SUFFIX = "__ragops-restore"
# Aliases of such copies; their names hold the digest that the copy was proven against.
PROVEN_PREFIX = "ragops-proven-"


def is_internal(collection: str) -> bool:
    """Return whether a collection is ragops' own: in no list for users and in no recovery point."""
    return (
        collection == HEALTH_COLLECTION or collection.endswith(RESTORE_SUFFIX) or collection.startswith(PROVEN_PREFIX)
    )
