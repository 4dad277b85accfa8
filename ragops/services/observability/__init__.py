"""Observability: Prometheus, Alertmanager, Grafana and exporters, which watch the other services."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ragops.services.contract.lazy import lazy
from ragops.services.contract.service import Service
from ragops.services.monitoring import DATABASE_SECRET, QDRANT_SECRET, REDIS_SECRET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.contract import Endpoint
    from ragops.services.observability.settings import ObservabilitySettings
    from ragops.services.spec import RuntimeTraits

PROMETHEUS, ALERTMANAGER, GRAFANA = "prometheus", "alertmanager", "grafana"
POSTGRES_EXPORTER, REDIS_EXPORTER, NODE_EXPORTER = "postgres-exporter", "redis-exporter", "node-exporter"
CADVISOR = "cadvisor"

# The pinned images, by instance. Grafana's version also is the one that dashboards are made for.
IMAGES: Mapping[str, str] = {
    PROMETHEUS: "prom/prometheus:v3.14.0",
    ALERTMANAGER: "prom/alertmanager:v0.34.0",
    GRAFANA: "grafana/grafana:12.3.1",
    POSTGRES_EXPORTER: "prometheuscommunity/postgres-exporter:v0.20.1",
    REDIS_EXPORTER: "oliver006/redis_exporter:v1.88.0-alpine",  # the image without -alpine has no shell
    NODE_EXPORTER: "prom/node-exporter:v1.12.1",
    CADVISOR: "ghcr.io/google/cadvisor:v0.60.5",
}
TITLES: Mapping[str, str] = {
    PROMETHEUS: "Prometheus",
    ALERTMANAGER: "Alertmanager",
    GRAFANA: "Grafana",
    POSTGRES_EXPORTER: "postgres_exporter",
    REDIS_EXPORTER: "redis_exporter",
    NODE_EXPORTER: "node_exporter",
    CADVISOR: "cAdvisor",
}

GRAFANA_USER = "admin"
GRAFANA_SECRET = "observability_grafana_admin"  # noqa: S105  the name of the secret


class ObservabilityService(Service):
    """Prometheus and what belongs to it behind the service contract."""

    name = "observability"
    titles: ClassVar[Mapping[str, str]] = {PROMETHEUS: "Prometheus"}
    image = IMAGES[PROMETHEUS]
    instances = tuple(IMAGES)
    host_programs = (PROMETHEUS,)
    ports_of_others: ClassVar[Mapping[str, str]] = {"envoy_port": "gateway"}
    update_cost = "it restarts: a minute without figures, and alerts that were pending begin again"
    needs = ("timescaledb", "redis", "qdrant", "ollama", "api", "gateway")
    is_optional = True
    is_default_with_images = True
    image_keys = (
        "image", "memory", "alertmanager", "alertmanager_port", "grafana", "grafana_port", "notify", "external.grafana",
        "postgres_exporter", "redis_exporter", "node_exporter", "cadvisor",
    )  # fmt: skip
    section_template = "observability/section.yaml.j2"

    settings = lazy(".settings:ObservabilitySettings")
    declare = lazy(".component:Observability")
    instance_title = lazy(".health:instance_title")

    def version(self, settings: ObservabilitySettings, traits: RuntimeTraits) -> str:
        """Return Prometheus's version, by the tag of its image; empty for a program of this machine."""
        return super().version(settings, traits) if traits.uses_images else ""

    def images(self, settings: ObservabilitySettings) -> Mapping[str, str]:
        """Return the image of every instance."""
        return settings.images()

    def more_secrets(self, settings: ObservabilitySettings) -> tuple[str, ...]:
        """Return Grafana's password and those of the exporters' logins, which the services themselves take."""
        grafana = (GRAFANA_SECRET,) if settings.runs_grafana else ()
        return (DATABASE_SECRET, REDIS_SECRET, QDRANT_SECRET, *grafana)

    def ports(self, settings: ObservabilitySettings, *, uses_images: bool) -> Mapping[str, int]:
        """Return the ports of Prometheus, Alertmanager and Grafana; without images, of Prometheus and Envoy's page."""
        if not uses_images:
            return {"port": settings.port, "envoy_port": settings.envoy_port}
        more = {
            "alertmanager_port": settings.alertmanager_port if settings.runs_alertmanager else 0,
            "grafana_port": settings.grafana_port if settings.runs_grafana else 0,
        }
        return {"port": settings.port, **{key: port for key, port in more.items() if port}}

    def outputs(self, endpoint: Endpoint, password: str) -> Mapping[str, str]:
        """Return the addresses of what has a page, and Grafana's login."""
        values = {"PROMETHEUS_URL": f"http://{endpoint.host}:{endpoint.port}"}
        if url := endpoint.options.get("alertmanager"):
            values["ALERTMANAGER_URL"] = url
        if url := endpoint.options.get("grafana"):
            values["GRAFANA_URL"] = url
        if "application" in endpoint.logins:
            values |= {"GRAFANA_USER": endpoint.logins["application"].user, "GRAFANA_PASSWORD": password}
        return values
