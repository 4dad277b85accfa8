"""Qdrant: the vectors of the chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

    from ragops.services.contract import BackupEngine, Endpoint, ProbeResult, VersionStep
    from ragops.services.qdrant.settings import QdrantSettings
    from ragops.services.spec import RuntimeTraits

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
# What a restore builds of every collection first; a killed one leaves some, the next one goes on with them.
RESTORE_SUFFIX = "__ragops-restore"
# Aliases of such copies that say what they were proven against.
PROVEN_PREFIX = "ragops-proven-"


def is_internal(collection: str) -> bool:
    """Whether a collection is ragops' own and none that a user should see."""
    return (
        collection == HEALTH_COLLECTION or collection.endswith(RESTORE_SUFFIX) or collection.startswith(PROVEN_PREFIX)
    )


class QdrantService:
    """All that ragops knows about Qdrant, behind the service contract."""

    name = "qdrant"
    titles: ClassVar[Mapping[str, str]] = {ENGINE: "Qdrant Edge, development", SERVER_ENGINE: "Qdrant"}

    def settings(self) -> type[BaseModel]:
        """Section `qdrant:`."""
        from ragops.services.qdrant.settings import QdrantSettings

        return QdrantSettings

    def secrets(self) -> tuple[str, ...]:
        """The key that opens its API."""
        return (API_KEY_SECRET,)

    def version(self, settings: QdrantSettings, traits: RuntimeTraits) -> str:
        """The image's, by its tag, or the wheel's."""
        from ragops.services.image_references import tag_version

        return (tag_version(settings.image) or SERVER_VERSION) if traits.uses_images else VERSION

    def step(self, before: str, after: str) -> VersionStep:
        """One minor version at a time, node by node."""
        from ragops.services.qdrant.versions import step

        return step(before, after)

    def component(self) -> Callable[..., Any]:
        """The Pulumi component."""
        from ragops.services.qdrant.component import Qdrant

        return Qdrant

    def prepare(self, endpoint: Endpoint) -> None:
        """The collection that health checks write in, made where it is missing."""
        from ragops.services.qdrant.cluster.prepare import prepare

        prepare(endpoint)

    def probe(self, endpoint: Endpoint, timeout: float) -> ProbeResult:
        """Reachable, key, cluster, shards and replicas, writable, disk."""
        from ragops.services.qdrant.health import probe

        return probe(endpoint, timeout)

    def backup(self) -> BackupEngine:
        """By a snapshot of every shard, with collections and aliases described beside."""
        from ragops.services.qdrant.backup.backup import QdrantBackup

        return QdrantBackup()

    def outputs(self, endpoint: Endpoint, password: str) -> Mapping[str, str]:
        """URL of the first node, those of all where there are several, and the key that opens them."""
        urls, grpc = endpoint.options["urls"], endpoint.options.get("grpc_urls", "")
        values = {"QDRANT_URL": urls.split(",")[0], "QDRANT_API_KEY": password}
        values |= {"QDRANT_URLS": urls} if "," in urls else {}
        return values | ({"QDRANT_GRPC_URLS": grpc} if grpc else {})
