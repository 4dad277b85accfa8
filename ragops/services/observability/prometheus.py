"""Prometheus: its configuration and its server. Pure values, no Pulumi."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from ragops.services.observability import ALERTMANAGER, PROMETHEUS
from ragops.services.observability.containers import fetch_check
from ragops.services.observability.rules import render_rules
from ragops.services.observability.targets import scrape_configs
from ragops.services.spec import ConfigFile, HttpCheck, ImageSpec, ServiceSpec
from ragops.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

    from ragops.services.observability.settings import ObservabilitySettings, RemoteWrite
    from ragops.services.observability.targets import Page
    from ragops.services.spec import Layout

CONFIG = "prometheus.yml"
PORT: Final = 9090
ALERTMANAGER_PORT: Final = 9093
_RULES = "rules"
_SECRETS = "secrets"
_LONGEST_SCRAPE = 10  # seconds


@dataclass(frozen=True)
class Watched:
    """What Prometheus watches: its pages of metrics, the labels of all series, and the secrets of the pages by name.

    `contents` are the files with secrets that ragops.yaml names, by name.
    """

    pages: tuple[Page, ...]
    labels: Mapping[str, str]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    contents: Mapping[str, str] = field(default_factory=dict, repr=False)


def image_spec(settings: ObservabilitySettings) -> ImageSpec:
    """Return the image: its folder for data belongs to its user."""
    return ImageSpec(settings.images()[PROMETHEUS], mount="/prometheus", user="nobody")


def service_spec(settings: ObservabilitySettings, watched: Watched, layout: Layout) -> ServiceSpec:
    """Return the server as a runtime sees it."""
    port = layout.port(settings.port, PORT)
    path = f"{layout.config_dir}/{CONFIG}"
    return ServiceSpec(
        service="observability",
        instance=PROMETHEUS if layout.uses_images else "",
        version=settings.versions()[PROMETHEUS] if layout.uses_images else "",
        command=(
            PROMETHEUS if layout.uses_images else settings.program or PROMETHEUS,
            f"--config.file={path}",
            f"--storage.tsdb.path={layout.data_dir}",
            f"--storage.tsdb.retention.time={settings.retention}",
            f"--storage.tsdb.retention.size={settings.retention_size}",
            f"--web.listen-address={layout.listen}:{port}",
            f"--web.external-url=http://127.0.0.1:{settings.port}/",
        ),
        files=_files(settings, watched, layout),
        ports={"http": port},
        health=fetch_check(PORT, "/-/ready") if layout.uses_images else HttpCheck(port, "/-/ready"),
        stop_grace=30.0,
        start_timeout=120.0,  # it reads its write-ahead log first
        image=image_spec(settings) if layout.uses_images else None,
        publish={"http": settings.port},
        memory=settings.memory_of(PROMETHEUS),
    )


def _files(settings: ObservabilitySettings, watched: Watched, layout: Layout) -> tuple[ConfigFile, ...]:
    text = yaml.safe_dump(configuration(settings, watched, layout), sort_keys=False, width=120)
    rules = [ConfigFile(f"{_RULES}/{name}", content) for name, content in render_rules().items()]
    asked = {page.secret for page in watched.pages if page.secret}
    keys = [ConfigFile(f"{_SECRETS}/{name}", watched.secrets[name], secret=True) for name in sorted(asked)]
    named = secret_names(settings)
    own = [name for name in _own_files(settings) if name]
    more = [ConfigFile(f"{_SECRETS}/{named[name]}", watched.contents[name], secret=True) for name in own]
    return (ConfigFile(CONFIG, text), *rules, *keys, *more)


def secret_names(settings: ObservabilitySettings) -> Mapping[str, str]:
    """Return the names that the files with secrets of ragops.yaml have among the rendered ones."""
    return {name: f"given-{number}" for number, name in enumerate(settings.secret_files(), start=1)}


def _own_files(settings: ObservabilitySettings) -> Iterable[str]:
    """Yield the files with secrets that Prometheus itself reads."""
    for server in settings.external.remote_write:
        yield from (server.password_file, server.token_file)
    yield settings.external.alertmanager_token_file


def configuration(settings: ObservabilitySettings, watched: Watched, layout: Layout) -> dict[str, Any]:
    """Return the values of prometheus.yml."""
    folder, named = f"{layout.config_dir}/{_SECRETS}", secret_names(settings)
    paths = {name: f"{folder}/{chosen}" for name, chosen in named.items()}
    interval = settings.scrape_interval
    values: dict[str, Any] = {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval if _is_shorter(interval) else f"{_LONGEST_SCRAPE}s",
            "evaluation_interval": interval,
            # For alerts on what has no series, and for remote writes.
            "external_labels": dict(watched.labels),
        },
        "rule_files": [f"{layout.config_dir}/{_RULES}/*.yml"],
        "scrape_configs": scrape_configs(watched.pages, watched.labels, lambda name: f"{folder}/{name}"),
    }
    if managers := _alertmanagers(settings, layout, paths):
        values["alerting"] = {"alertmanagers": managers}
    if servers := [_remote_write(server, paths) for server in settings.external.remote_write]:
        values["remote_write"] = servers
    return values


def _alertmanagers(settings: ObservabilitySettings, layout: Layout, paths: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the Alertmanager of the team's own, else that of the platform."""
    external = settings.external
    if external.alertmanager:
        scheme, _, rest = external.alertmanager.partition("://")
        host, _, path = rest.partition("/")
        values: dict[str, Any] = {"scheme": scheme, "static_configs": [{"targets": [host]}]}
        values |= {"path_prefix": f"/{path}"} if path else {}
        token = external.alertmanager_token_file
        return [values | ({"authorization": {"credentials_file": paths[token]}} if token else {})]
    if settings.runs_alertmanager and layout.uses_images:
        return [{"static_configs": [{"targets": [f"{ALERTMANAGER}:{ALERTMANAGER_PORT}"]}]}]
    return []


def _remote_write(server: RemoteWrite, paths: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {"url": server.url}
    if server.username:
        values["basic_auth"] = {"username": server.username, "password_file": paths[server.password_file]}
    if server.token_file:
        values["authorization"] = {"credentials_file": paths[server.token_file]}
    return values


def _is_shorter(interval: str) -> bool:
    found = parse_duration(interval)
    return found is not None and found.total_seconds() < _LONGEST_SCRAPE
