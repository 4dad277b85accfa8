"""Qdrant: the vectors of the chunks."""

from ragops.services.qdrant.names import (
    API_KEY_SECRET,
    ENGINE,
    HEALTH_COLLECTION,
    IMAGE,
    PROVEN_PREFIX,
    RESTORE_SUFFIX,
    SERVER_ENGINE,
    SERVER_VERSION,
    VERSION,
    is_internal,
)
from ragops.services.qdrant.service import QdrantService

__all__ = [
    "API_KEY_SECRET",
    "ENGINE",
    "HEALTH_COLLECTION",
    "IMAGE",
    "PROVEN_PREFIX",
    "RESTORE_SUFFIX",
    "SERVER_ENGINE",
    "SERVER_VERSION",
    "VERSION",
    "QdrantService",
    "is_internal",
]
