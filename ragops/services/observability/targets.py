"""Pages of metrics as jobs of Prometheus: its scrape configuration, and files for its service discovery. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ragops.services.contract import ScrapeTarget

NODE, CONTAINERS = "node", "containers"

# cAdvisor without Docker's socket reads cgroups, whose path ends with the container's id, by either cgroup driver.
# What is no container (slices of systemd) is left out.
_CONTAINER_SERIES: list[dict[str, Any]] = [
    {
        "source_labels": ["id"],
        "regex": r".*/(?:docker-)?([0-9a-f]{64})(?:\.scope)?",
        "target_label": "container_id",
        "replacement": "$1",
    },
    {"source_labels": ["__name__", "container_id"], "regex": "container_[^;]+;", "action": "drop"},
]
# ragops's own figures bring their labels: the service that a figure is about is not the exporter that shows it.
_OWN_LABELS = frozenset({NODE})
_SERIES: Mapping[str, list[dict[str, Any]]] = {CONTAINERS: _CONTAINER_SERIES}


@dataclass(frozen=True)
class Page:
    """A page of metrics: the job and the service that its series belong to, and the secret that opens it, if any."""

    job: str
    service: str
    instance: str
    url: str
    secret: str = ""

    @property
    def address(self) -> str:
        """Return host and port."""
        return urlsplit(self.url).netloc


def pages_of(targets: Mapping[str, Sequence[ScrapeTarget]]) -> tuple[Page, ...]:
    """Return the pages of services, by service and in the order of their names in it."""
    return tuple(
        Page(target.job or service, service, target.instance, target.url, target.secret)
        for service, found in targets.items()
        for target in found
    )


def scrape_configs(
    pages: Iterable[Page], labels: Mapping[str, str], secret_path: Callable[[str], str]
) -> list[dict[str, Any]]:
    """Return the values of `scrape_configs`; `secret_path` is the path of the file with a secret."""
    jobs: dict[tuple[str, str, str, str], list[Page]] = defaultdict(list)
    for page in pages:
        parts = urlsplit(page.url)
        jobs[page.job, parts.scheme, parts.path or "/metrics", page.secret].append(page)
    return [
        _job(job, scheme, path, secret_path(secret) if secret else "", found, labels)
        for (job, scheme, path, secret), found in jobs.items()
    ]


def _job(
    job: str, scheme: str, path: str, secret_file: str, pages: Sequence[Page], labels: Mapping[str, str]
) -> dict[str, Any]:
    values: dict[str, Any] = {"job_name": job, "scheme": scheme, "metrics_path": path}
    if job in _OWN_LABELS:
        values["honor_labels"] = True
    if secret_file:
        values["authorization"] = {"type": "Bearer", "credentials_file": secret_file}
    values["static_configs"] = [
        {"targets": [page.address], "labels": {**labels, "service": page.service, "instance": page.instance}}
        for page in pages
    ]
    if job in _SERIES:
        values["metric_relabel_configs"] = _SERIES[job]
    return values


def file_discovery(pages: Iterable[Page], labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the groups of a file for `file_sd_configs`: one for each page, with the labels that Prometheus reads."""
    found = []
    for page in pages:
        parts = urlsplit(page.url)
        special = {"__scheme__": parts.scheme, "__metrics_path__": parts.path or "/metrics", "job": page.job}
        own = {"service": page.service, "instance": page.instance}
        found.append({"targets": [page.address], "labels": {**labels, **special, **own}})
    return found
