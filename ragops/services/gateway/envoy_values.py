"""Names and small values that every part of Envoy's configuration is made of."""

from __future__ import annotations

import json
from typing import Any

from ragops.services.gateway.rendering import Json, digest

TYPES = "type.googleapis.com/"
HTTP = f"{TYPES}envoy.extensions.filters.http"
CORS = "envoy.filters.http.cors"
RATE_LIMIT = "envoy.filters.http.local_ratelimit"
JWT = "envoy.filters.http.jwt_authn"
BUFFER = "envoy.filters.http.buffer"
MARK = "envoy.filters.http.set_metadata"
CLUSTER = "api"
ROUTES = "routes"
SECRET = "certificate"  # noqa: S105  the name of a resource


def add_type(kind: str, **values: Any) -> Json:
    """Return a message with its type named."""
    return {"@type": kind, **values}


def discovery(*resources: Json) -> str:
    """Return a file of resources as Envoy's file-based discovery reads it."""
    return json.dumps({"version_info": digest(resources), "resources": list(resources)}, indent=2) + "\n"


def header(name: str, value: str, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> Json:
    """Return a header that is added to an answer."""
    return {"header": {"key": name, "value": value}, "append_action": action}
