"""The pages of metrics of a platform, for a Prometheus of one's own: as file service discovery."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ragops.adapters.files import PUBLIC_MODE, write_atomic
from ragops.operations.records import figures
from ragops.services import by_name
from ragops.services.observability.targets import file_discovery, pages_of

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.operations.session import Session
    from ragops.services.contract import Endpoint


@dataclass(frozen=True)
class MetricsPage:
    """A page of metrics as this machine reaches it; `secret` names the bearer token that it asks for, if any."""

    job: str
    service: str
    instance: str
    url: str
    secret: str


@dataclass(frozen=True)
class MetricsTargets:
    """All pages, and the groups of a file for `file_sd_configs` with them; `textfile` has ragops's own figures."""

    pages: tuple[MetricsPage, ...]
    groups: tuple[dict[str, Any], ...]
    textfile: str


def list_targets(session: Session) -> MetricsTargets:
    """Return every page that this machine can reach. Raises MissingError (not_provisioned)."""
    targets = {
        name: by_name(name).scrape_targets(_seen_from_here(endpoint)) for name, endpoint in session.endpoints().items()
    }
    pages = pages_of(targets)
    paths = session.project.paths
    labels = {"platform": session.project.settings.name, "environment": paths.environment}
    shown = tuple(MetricsPage(one.job, one.service, one.instance, one.url, one.secret) for one in pages)
    return MetricsTargets(shown, tuple(file_discovery(pages, labels)), str(paths.metrics / figures.FILE))


def write_targets(found: MetricsTargets, path: Path) -> None:
    """Write the groups as one JSON file, at once. Raises RagopsError (not_permitted), MissingError (disk_full)."""
    write_atomic(path, json.dumps(list(found.groups), indent=2) + "\n", PUBLIC_MODE)


def _seen_from_here(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint with its published addresses: the network of the containers is not this machine's."""
    nodes = tuple(replace(node, internal_url="", internal_grpc_url="") for node in endpoint.nodes)
    options = endpoint.options
    if endpoint.inner_host:  # Kong's page is in that network alone
        options = {name: text for name, text in options.items() if name != "metrics_port"}
    return replace(endpoint, inner_host="", inner_port=0, nodes=nodes, options=options)
