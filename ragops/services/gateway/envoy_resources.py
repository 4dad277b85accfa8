"""Envoy's upstream, certificate, own answers and access log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ragops.services.gateway.policy import Json, digest
from ragops.services.gateway.problems import PROBLEMS

if TYPE_CHECKING:
    from ragops.services.gateway.policy import GatewayPolicy, Json, Tls, Upstream
    from ragops.services.gateway.problems import Problem

TYPES = "type.googleapis.com/"
HTTP = f"{TYPES}envoy.extensions.filters.http"
HTTP_LISTENER = f"{TYPES}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
CORS = "envoy.filters.http.cors"
ADDRESS_LIMIT = "ragops.limit.address"
CONSUMER_LIMIT = "ragops.limit.consumer"
JWT = "envoy.filters.http.jwt_authn"
BUFFER = "envoy.filters.http.buffer"
MARK = "envoy.filters.http.set_metadata"
TOKEN = "token"  # noqa: S105  the name under which the claims of a checked token are known
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


_OWN_WORDS = "%LOCAL_REPLY_BODY%"


def local_replies() -> Json:
    """Return the answers that the gateway gives by itself, as problem details."""
    return {"mappers": [_mapper(problem) for problem in PROBLEMS]}


def _mapper(problem: Problem) -> Json:
    body = {
        "type": problem.type,
        "title": problem.title,
        "status": "%RESPONSE_CODE%",
        "detail": problem.detail or _OWN_WORDS,
        "code": problem.code,
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    key = f"gateway.never_set.{problem.status}"
    comparison = {"op": "EQ", "value": {"default_value": problem.status, "runtime_key": key}}
    mapper: Json = {
        "filter": {"status_code_filter": {"comparison": comparison}},
        "body_format_override": {"json_format": body, "content_type": "application/problem+json"},
    }
    if problem.headers:
        mapper["headers_to_add"] = [header(name, value) for name, value in problem.headers.items()]
    return mapper


def access_log() -> Json:
    """Failures only, and never a query or a header that could hold a secret."""
    line = {
        "time": "%START_TIME%",
        "level": "access",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ)%",
        "status": "%RESPONSE_CODE%",
        "why": "%RESPONSE_CODE_DETAILS%",
        "milliseconds": "%DURATION%",
        "from": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
        "route": "%ROUTE_NAME%",
    }
    failed = {"op": "GE", "value": {"default_value": 400, "runtime_key": "gateway.never_set.log"}}
    return {
        "name": "envoy.access_loggers.stdout",
        "filter": {"status_code_filter": {"comparison": failed}},
        "typed_config": add_type(
            f"{TYPES}envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            log_format={"json_format": line},
        ),
    }


def cluster(policy: GatewayPolicy) -> Json:
    """Return the API. While its health check fails the gateway answers 503 by itself, at once."""
    upstream = policy.upstream
    address = {"socket_address": {"address": upstream.host, "port_value": upstream.port}}
    every = f"{upstream.health_every}s"
    return add_type(
        f"{TYPES}envoy.config.cluster.v3.Cluster",
        name=CLUSTER,
        type="STRICT_DNS",
        connect_timeout=f"{upstream.connect_timeout}s",
        load_assignment={
            "cluster_name": CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        typed_extension_protocol_options={_PROTOCOL: _kept_connections(upstream)},
        common_lb_config={"healthy_panic_threshold": {"value": 0}},
        health_checks=[
            {
                "timeout": f"{upstream.connect_timeout}s",
                "interval": every,
                "no_traffic_interval": every,
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "http_health_check": {"path": upstream.health_path, "host": "gateway"},
            }
        ],
    )


_PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def _kept_connections(upstream: Upstream) -> Json:
    """Return for how long a connection is kept for the next request, and for how many."""
    return add_type(
        f"{TYPES}{_PROTOCOL}",
        common_http_protocol_options={
            "idle_timeout": f"{upstream.idle_timeout}s",
            "max_requests_per_connection": upstream.connection_requests,
        },
        explicit_http_config={"http_protocol_options": {}},
    )


def certificate(tls: Tls, folder: str) -> Json:
    """Certificate and key by their paths: no key is in any file of the configuration.

    Both are read again whenever anything is moved into `folder`, that of the hot files: a watch on their own folder
    would die with it, and Envoy does not set it again for the same text.
    """
    return add_type(
        f"{TYPES}envoy.extensions.transport_sockets.tls.v3.Secret",
        name=SECRET,
        tls_certificate={
            "certificate_chain": {"filename": tls.certificate},
            "private_key": {"filename": tls.key},
            "watched_directory": {"path": folder},
        },
    )


ADMIN = "admin"
METRICS_PATH = "/stats/prometheus"


def metrics_listener(policy: GatewayPolicy) -> Json:
    """Return the listener that answers one page of Envoy's own statistics to this machine, and nothing else of it."""
    match = {"path": METRICS_PATH, "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]}
    hosts = {"name": ADMIN, "domains": ["*"], "routes": [{"match": match, "route": {"cluster": ADMIN}}]}
    http = add_type(
        HTTP_LISTENER,
        stat_prefix="metrics",
        route_config={"virtual_hosts": [hosts]},
        http_filters=[{"name": "envoy.filters.http.router", "typed_config": add_type(f"{HTTP}.router.v3.Router")}],
    )
    return {
        "name": "metrics",
        "address": {"socket_address": {"address": policy.listen, "port_value": policy.metrics_port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": http}]}],
    }


def admin_cluster(socket: str) -> Json:
    """Return Envoy's own statistics, at its Unix socket."""
    endpoint = {"endpoint": {"address": {"pipe": {"path": socket}}}}
    assignment = {"cluster_name": ADMIN, "endpoints": [{"lb_endpoints": [endpoint]}]}
    return {"name": ADMIN, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment}
