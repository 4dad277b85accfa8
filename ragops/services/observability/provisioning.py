"""The files by which Grafana finds its data source and its dashboards when it starts."""

from __future__ import annotations

from typing import Any

import yaml

SOURCE_UID = "ragops-prometheus"
"""The uid of the data source, which the dashboards choose by default."""


def data_source(url: str) -> str:
    """Return the YAML of the file that provisions Prometheus at `url` as a source of data."""
    source = {
        "name": "ragops",
        "uid": SOURCE_UID,
        "type": "prometheus",
        "access": "proxy",
        "url": url,
        "isDefault": True,
        "editable": False,
    }
    return _text({"apiVersion": 1, "datasources": [source]})


def dashboard_provider(folder: str) -> str:
    """Return the YAML of the file that provisions the dashboards in `folder`."""
    provider = {
        "name": "ragops",
        "folder": "ragops",
        "type": "file",
        "allowUiUpdates": False,
        "options": {"path": folder},
    }
    return _text({"apiVersion": 1, "providers": [provider]})


def _text(values: dict[str, Any]) -> str:
    return yaml.safe_dump(values, sort_keys=False, width=120)
