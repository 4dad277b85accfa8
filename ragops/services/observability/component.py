"""Observability as a Pulumi component: Prometheus, and in images all that it watches with and that shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from ragops.services.contract import Login
from ragops.services.observability import (
    ALERTMANAGER,
    CADVISOR,
    GRAFANA,
    GRAFANA_SECRET,
    GRAFANA_USER,
    NODE_EXPORTER,
    POSTGRES_EXPORTER,
    PROMETHEUS,
    REDIS_EXPORTER,
    alertmanager,
    exporters,
    grafana,
    prometheus,
)
from ragops.services.observability.prometheus import ALERTMANAGER_PORT, Watched
from ragops.services.observability.targets import Page, pages_of
from ragops.services.spec import local_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ragops.services.contract import Declaration, Endpoint
    from ragops.services.observability.settings import ObservabilitySettings
    from ragops.services.spec import ImageSpec, Layout, Runtime, ServiceSpec


class Observability(pulumi.ComponentResource):
    """Prometheus and its companions; `endpoint` is Prometheus's, its options are where the others are reached."""

    def __init__(self, declaration: Declaration, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ragops:service:Observability", "observability", None, opts)
        runtime, settings = declaration.runtime, declaration.settings
        for spec in specs(declaration):
            runtime.run(spec, self)
        self.endpoint = endpoint(settings, runtime)
        self.register_outputs({"endpoint": self.endpoint.to_dict()})


def specs(declaration: Declaration) -> Iterator[ServiceSpec]:
    """Yield every instance: what is asked before who asks."""
    runtime, settings, secrets = declaration.runtime, declaration.settings, declaration.secrets
    layout = _prometheus_layout(settings, runtime)
    if layout.uses_images:
        yield from _companions(declaration)
    yield prometheus.service_spec(settings, watched(declaration, layout), layout)
    if layout.uses_images and settings.runs_grafana:
        yield grafana.service_spec(settings, secrets, runtime.layout(GRAFANA, grafana.image_spec(settings)))


def _companions(declaration: Declaration) -> Iterator[ServiceSpec]:
    runtime, settings, secrets = declaration.runtime, declaration.settings, declaration.secrets
    wanted, before = settings.containers(), declaration.before

    def layout(instance: str) -> Layout:
        found: Layout = runtime.layout(instance, exporters.image_spec(settings, instance))
        return found

    if POSTGRES_EXPORTER in wanted:
        yield exporters.postgres(settings, secrets, before["timescaledb"], layout(POSTGRES_EXPORTER))
    if REDIS_EXPORTER in wanted:
        yield exporters.redis(settings, secrets, before["redis"], layout(REDIS_EXPORTER))
    if NODE_EXPORTER in wanted:
        yield exporters.node(settings, declaration.own["textfiles"], layout(NODE_EXPORTER))
    if CADVISOR in wanted:
        yield exporters.cadvisor(settings, layout(CADVISOR))
    if ALERTMANAGER in wanted:
        place = runtime.layout(ALERTMANAGER, alertmanager.image_spec(settings))
        yield alertmanager.service_spec(settings, declaration.own["files"], place)


def watched(declaration: Declaration, layout: Layout) -> Watched:
    """Return what Prometheus reads: the pages of the services, of the exporters, and of this service itself."""
    settings: ObservabilitySettings = declaration.settings
    services = pages_of(declaration.targets)
    own = tuple(_own_pages(settings, layout))
    more = exporters.pages(settings, lambda instance: instance) if layout.uses_images else ()
    labels = {"platform": declaration.platform, "environment": declaration.own["environment"]}
    return Watched((*services, *more, *own), labels, declaration.secrets, declaration.own["files"])


def _own_pages(settings: ObservabilitySettings, layout: Layout) -> Iterator[Page]:
    ports = {PROMETHEUS: prometheus.PORT, ALERTMANAGER: ALERTMANAGER_PORT, GRAFANA: grafana.PORT}
    if not layout.uses_images:
        yield Page(PROMETHEUS, "observability", PROMETHEUS, f"http://127.0.0.1:{settings.port}/metrics")
        return
    for instance in settings.containers():
        if instance in ports:
            host = "127.0.0.1" if instance == PROMETHEUS else instance
            yield Page(instance, "observability", instance, f"http://{host}:{ports[instance]}/metrics")


def endpoint(settings: ObservabilitySettings, runtime: Runtime) -> Endpoint:
    """Return how Prometheus is reached.

    Options: `instances` and their `versions`, by commas; the URLs of `alertmanager` and `grafana`, if there are any.
    """
    layout = _prometheus_layout(settings, runtime)
    options: dict[str, str] = {}
    if layout.uses_images:
        options = _options(settings.versions())
    if url := settings.external.alertmanager or _local(layout, settings.runs_alertmanager, settings.alertmanager_port):
        options["alertmanager"] = url
    if url := settings.external.grafana or _local(layout, settings.runs_grafana, settings.grafana_port):
        options["grafana"] = url
    shown = layout.uses_images and settings.runs_grafana
    return local_endpoint(
        "observability",
        runtime,
        layout,
        engine=PROMETHEUS,
        version=settings.versions()[PROMETHEUS] if layout.uses_images else "",
        port=settings.port,
        inner_port=prometheus.PORT,
        instance=PROMETHEUS if layout.uses_images else "",
        options=options,
        logins={"application": Login(GRAFANA_USER, GRAFANA_SECRET)} if shown else {},
    )


def _options(versions: Mapping[str, str]) -> dict[str, str]:
    return {"instances": ",".join(versions), "versions": ",".join(versions.values())}


def _local(layout: Layout, runs: bool, port: int) -> str:
    return f"http://127.0.0.1:{port}" if runs and layout.uses_images else ""


def _prometheus_layout(settings: ObservabilitySettings, runtime: Runtime) -> Layout:
    """Return Prometheus's place: of the container, or of the service itself on a runtime without images."""
    image: ImageSpec = prometheus.image_spec(settings)
    found = runtime.layout("observability", image)
    return runtime.layout(PROMETHEUS, image) if found.uses_images else found
