"""The Qdrant service: the vectors of the chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ragops.services.contract.lazy import lazy
from ragops.services.contract.service import Program, ScrapeTarget, Service
from ragops.services.monitoring import MONITOR
from ragops.services.qdrant.names import API_KEY_SECRET, ENGINE, IMAGE, SERVER_ENGINE, SERVER_VERSION, VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.contract import Endpoint
    from ragops.services.qdrant.settings import QdrantSettings
    from ragops.services.spec import RuntimeTraits


class QdrantService(Service):
    """Qdrant behind the service contract."""

    name = "qdrant"
    titles: ClassVar[Mapping[str, str]] = {ENGINE: "Qdrant Edge, development", SERVER_ENGINE: "Qdrant"}
    image = IMAGE
    programs = (Program("qdrant-edge", "qdrant_edge"),)
    exposable = "REST and gRPC of every node, never the port between them"
    image_keys = ("image", "memory", "nodes", "replication_factor", "shards_per_node")
    section_template = "qdrant/section.yaml.j2"

    settings = lazy(".settings:QdrantSettings")
    declare = lazy(".component:Qdrant")
    step = lazy(".versions:check_upgrade")
    check_update = lazy(".cluster.cluster:refuse_fewer_nodes")
    before_update = lazy(".cluster.members:remove_lost_peers")
    after_update = lazy(".cluster.cluster:wait_all_active")
    node_versions = lazy(".cluster.cluster:node_versions")
    mixed_nodes = lazy(".cluster.cluster:mixed_nodes")
    prepare = lazy(".cluster.prepare:prepare")
    backup = lazy(".backup.backup:QdrantBackup")

    def ports(self, settings: QdrantSettings, *, uses_images: bool) -> Mapping[str, int]:
        """Return the REST port, in a cluster also those that follow from it."""
        from ragops.services.qdrant.settings import published_ports

        return published_ports(settings) if uses_images else {"port": settings.port}

    def secrets(self) -> tuple[str, ...]:
        """Return the name of the key that opens its API."""
        return (API_KEY_SECRET,)

    def version(self, settings: QdrantSettings, traits: RuntimeTraits) -> str:
        """Return the image's version, by its tag, or the wheel's."""
        from ragops.services.image_references import tag_version

        return (tag_version(settings.image) or SERVER_VERSION) if traits.uses_images else VERSION

    def outputs(self, endpoint: Endpoint, password: str) -> Mapping[str, str]:
        """Return the URL of the first node, those of all if there are several, and the key that opens them."""
        urls = [node.url for node in endpoint.nodes] or [f"http://{endpoint.host}:{endpoint.port}"]
        grpc = ",".join(node.grpc_url for node in endpoint.nodes if node.grpc_url)
        values = {"QDRANT_URL": urls[0], "QDRANT_API_KEY": password}
        values |= {"QDRANT_URLS": ",".join(urls)} if len(urls) > 1 else {}
        return values | ({"QDRANT_GRPC_URLS": grpc} if grpc else {})

    def scrape_targets(self, endpoint: Endpoint) -> tuple[ScrapeTarget, ...]:
        """Return the metrics of every node; the key that only reads opens them, if there is one."""
        key = endpoint.logins[MONITOR].secret if MONITOR in endpoint.logins else API_KEY_SECRET
        host, port = endpoint.internal_address
        nodes = [(node.name, node.internal_url or node.url) for node in endpoint.nodes]
        found = nodes or [(endpoint.service, f"http://{host}:{port}")]
        return tuple(ScrapeTarget(name, f"{url}/metrics", key) for name, url in found)
