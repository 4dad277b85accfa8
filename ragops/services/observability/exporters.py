"""Exporters: figures of the database, the cache, the machine and the containers. Pure values, no Pulumi."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ragops.services.monitoring import DATABASE_ROLE, DATABASE_SECRET, REDIS_SECRET, REDIS_USER
from ragops.services.observability import CADVISOR, NODE_EXPORTER, POSTGRES_EXPORTER, REDIS_EXPORTER
from ragops.services.observability.containers import fetch_check
from ragops.services.observability.postgres_queries import render_queries
from ragops.services.observability.targets import CONTAINERS, NODE, Page
from ragops.services.spec import Bind, ConfigFile, ImageSpec, ServiceSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ragops.services.contract import Endpoint
    from ragops.services.observability.settings import ObservabilitySettings
    from ragops.services.spec import Layout

PORTS: Mapping[str, int] = {POSTGRES_EXPORTER: 9187, REDIS_EXPORTER: 9121, NODE_EXPORTER: 9100, CADVISOR: 8080}
_USERS: Mapping[str, str] = {
    POSTGRES_EXPORTER: "nobody",
    REDIS_EXPORTER: "59000:59000",  # the image's own
    NODE_EXPORTER: "nobody",
    CADVISOR: "0:0",  # control groups and their limits are root's to read
}
_HEALTH: Mapping[str, str] = {CADVISOR: "/healthz"}
_QUERIES = "queries.yaml"
_TIMESCALEDB = "timescaledb"  # the engine of an endpoint, against plain PostgreSQL
_PASSWORD = "password"  # noqa: S105  the name of a file
_HOST, _TEXTFILES = "/host", "/textfile"
# Mounts of containers and of the kernel: no disk that could be full.
_NO_DISKS = r"^/(dev|proc|run|sys|var/lib/(docker|containerd)/.+)($|/)"
_CADVISOR_FIGURES = "cpu,memory,diskIO,oom_event,process"


def image_spec(settings: ObservabilitySettings, instance: str) -> ImageSpec:
    """Return the image of an exporter; none of them has data."""
    return ImageSpec(settings.images()[instance], mount="", user=_USERS[instance])


def postgres(settings: ObservabilitySettings, secrets: Mapping[str, str], at: Endpoint, layout: Layout) -> ServiceSpec:
    """Return the exporter of the database's figures: its login is in pg_monitor and in nothing else."""
    host, port = at.internal_address
    environment = {
        "DATA_SOURCE_URI": f"{host}:{port}/{at.options['database']}?sslmode=disable",
        "DATA_SOURCE_USER": DATABASE_ROLE,
        "DATA_SOURCE_PASS_FILE": f"{layout.config_dir}/{_PASSWORD}",
    }
    command = (
        "postgres_exporter",
        f"--web.listen-address={layout.listen}:{PORTS[POSTGRES_EXPORTER]}",
        f"--extend.query-path={layout.config_dir}/{_QUERIES}",
    )
    queries = ConfigFile(_QUERIES, render_queries(timescaledb=at.engine == _TIMESCALEDB))
    files = (ConfigFile(_PASSWORD, secrets[DATABASE_SECRET] + "\n", secret=True), queries)
    return _spec(settings, POSTGRES_EXPORTER, command, environment=environment, files=files)


def redis(settings: ObservabilitySettings, secrets: Mapping[str, str], at: Endpoint, layout: Layout) -> ServiceSpec:
    """Return the exporter of the cache's figures: its user may ask how the server is, and see no key."""
    host, port = at.internal_address
    passwords = {f"redis://{REDIS_USER}@{host}:{port}": secrets[REDIS_SECRET]}
    command = (
        "redis_exporter",
        f"--web.listen-address={layout.listen}:{PORTS[REDIS_EXPORTER]}",
        f"--redis.addr=redis://{host}:{port}",
        f"--redis.user={REDIS_USER}",
        f"--redis.password-file={layout.config_dir}/{_PASSWORD}",
    )
    files = (ConfigFile(_PASSWORD, json.dumps(passwords) + "\n", secret=True),)
    return _spec(settings, REDIS_EXPORTER, command, files=files)


def node(settings: ObservabilitySettings, textfiles: str, layout: Layout) -> ServiceSpec:
    """Return the exporter of the machine's figures and ragops's own, which lie in the folder `textfiles`.

    It sees the machine's files read-only, as a user that owns none of them: the sizes of disks are asked by their
    mount points.
    """
    command = (
        "node_exporter",
        f"--web.listen-address={layout.listen}:{PORTS[NODE_EXPORTER]}",
        f"--path.rootfs={_HOST}",
        f"--path.procfs={_HOST}/proc",
        f"--path.sysfs={_HOST}/sys",
        f"--collector.textfile.directory={_TEXTFILES}",
        f"--collector.filesystem.mount-points-exclude={_NO_DISKS}",
    )
    return _spec(settings, NODE_EXPORTER, command, binds=(Bind("/", _HOST), Bind(textfiles, _TEXTFILES)))


def cadvisor(settings: ObservabilitySettings, layout: Layout) -> ServiceSpec:
    """Return the exporter of containers' figures. It reads control groups: Docker's socket would make it root."""
    command = (
        "cadvisor",
        "--logtostderr",
        f"--listen_ip={layout.listen}",
        f"--port={PORTS[CADVISOR]}",
        "--docker_only=false",
        "--store_container_labels=false",
        f"--housekeeping_interval={settings.scrape_interval}",
        f"--enable_metrics={_CADVISOR_FIGURES}",
    )
    return _spec(settings, CADVISOR, command, binds=(Bind("/sys", "/sys"),))


def _spec(
    settings: ObservabilitySettings,
    instance: str,
    command: tuple[str, ...],
    *,
    environment: Mapping[str, str] | None = None,
    files: tuple[ConfigFile, ...] = (),
    binds: tuple[Bind, ...] = (),
) -> ServiceSpec:
    port = PORTS[instance]
    return ServiceSpec(
        service="observability",
        instance=instance,
        version=settings.versions()[instance],
        command=command,
        files=files,
        ports={"http": port},
        health=fetch_check(port, _HEALTH.get(instance, "/")),
        environment=environment or {},
        image=image_spec(settings, instance),
        memory=settings.memory_of(instance),
        binds=binds,
    )


_PAGES: Mapping[str, tuple[str, str, str]] = {
    POSTGRES_EXPORTER: ("postgres", "timescaledb", "timescaledb"),
    REDIS_EXPORTER: ("redis", "redis", "redis"),
    NODE_EXPORTER: (NODE, "observability", NODE),
    CADVISOR: (CONTAINERS, "observability", CONTAINERS),
}


def pages(settings: ObservabilitySettings, host_of: Callable[[str], str]) -> tuple[Page, ...]:
    """Return the pages of the exporters that are on; `host_of` returns the host name of an instance."""
    return tuple(
        Page(*_PAGES[instance], f"http://{host_of(instance)}:{PORTS[instance]}/metrics")
        for instance in settings.containers()
        if instance in _PAGES
    )
