"""The files by which Grafana finds its data source and its dashboards when it starts."""

from __future__ import annotations

from typing import Any

SOURCE_UID = "ragops-prometheus"
"""The uid of the data source, which the dashboards choose by default."""


def data_source(url: str) -> dict[str, Any]:
    """Return the values of the file that provisions Prometheus at `url` as a source of data."""
    source = {
        "name": "ragops",
        "uid": SOURCE_UID,
        "type": "prometheus",
        "access": "proxy",
        "url": url,
        "isDefault": True,
        "editable": False,
    }
    return {"apiVersion": 1, "datasources": [source]}


def dashboard_provider(folder: str) -> dict[str, Any]:
    """Return the values of the file that provisions the dashboards in `folder`."""
    provider = {
        "name": "ragops",
        "folder": "ragops",
        "type": "file",
        "allowUiUpdates": False,
        "options": {"path": folder},
    }
    return {"apiVersion": 1, "providers": [provider]}
