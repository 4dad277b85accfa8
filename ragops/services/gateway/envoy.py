"""Renders a gateway policy for Envoy 1.40. Pure: from values to the contents of files.

What asks for a restart (ports, limits of connections) is in the bootstrap; what does not is in files that Envoy reads
again as soon as they are replaced. `check` holds both in one file without any discovery, so that `envoy --mode
validate` refuses a mistake, an unknown field included, before the running gateway sees it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.services.gateway.envoy_limits import idle
from ragops.services.gateway.envoy_resources import (
    ADDRESS_LIMIT,
    BUFFER,
    CONSUMER_LIMIT,
    CORS,
    HTTP,
    HTTP_LISTENER,
    JWT,
    MARK,
    ROUTES,
    SECRET,
    TYPES,
    access_log,
    add_type,
    admin_cluster,
    certificate,
    cluster,
    discovery,
    local_replies,
    metrics_listener,
)
from ragops.services.gateway.envoy_routes import live_mark, mark, routes, token_check
from ragops.services.gateway.policy import INTERNAL_HEADER_PREFIX, INTERNAL_HEADERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.gateway.policy import GatewayPolicy, Json

_SOCKET_PATH_LIMIT = 107  # sun_path of unix(7), less its NUL


@dataclass(frozen=True)
class Rendering:
    """What Envoy reads. `files` are the hot ones by name, `live` what the ready path's header states once they hold."""

    bootstrap: str
    files: Mapping[str, str]
    check: str
    live: str


def render(policy: GatewayPolicy, keys: Json, folder: str, admin_socket: str = "") -> Rendering:
    """Render `policy` with the JWKS `keys`; the hot files will lie in `folder`.

    `admin_socket` is where Envoy's own statistics can be asked for: a Unix socket, never a port.
    """
    files = {
        "clusters.json": discovery(cluster(policy)),
        "tokens.json": discovery(token_check(policy, keys)),
        "routes.json": discovery(routes(policy)),
        "live.json": discovery(mark(policy, keys)),  # the last one, so that it stands for the others
    }
    if policy.tls is not None:
        files = {"certificate.json": discovery(certificate(policy.tls, folder)), **files}
    return Rendering(
        bootstrap=_text(_bootstrap(policy, folder, admin_socket)),
        files=files,
        check=_text(_check(policy, keys)),
        live=live_mark(policy, keys),
    )


def _text(value: Json) -> str:
    return json.dumps(value, indent=2) + "\n"


def _bootstrap(policy: GatewayPolicy, folder: str, admin_socket: str) -> Json:
    checks = [
        {"name": JWT, "config_discovery": _discover(folder, "tokens.json", "jwt_authn.v3.JwtAuthentication")},
        {"name": MARK, "config_discovery": _discover(folder, "live.json", "set_metadata.v3.Config")},
    ]
    source = {"rds": {"route_config_name": ROUTES, "config_source": _source(folder, "routes.json")}}
    tls = {"tls_certificate_sds_secret_configs": [{"name": SECRET, "sds_config": _source(folder, "certificate.json")}]}
    admin: Json = {}
    if admin_socket and len(admin_socket.encode()) <= _SOCKET_PATH_LIMIT:
        admin = {"admin": {"address": {"pipe": {"path": admin_socket, "mode": 0o600}}}}
    statistics = bool(admin) and policy.metrics_port > 0
    return {
        "node": {"id": "gateway", "cluster": "ragops"},
        **admin,
        **_process(),
        "static_resources": {
            "listeners": [
                *_listeners(policy, checks, source, tls),
                *([metrics_listener(policy)] if statistics else []),
            ],
            **({"clusters": [admin_cluster(admin_socket)]} if statistics else {}),
        },
        "dynamic_resources": {"cds_config": _source(folder, "clusters.json")},
    }


def _check(policy: GatewayPolicy, keys: Json) -> Json:
    """Return the same without discovery: everything in one file."""
    checks = [_drop_types(token_check(policy, keys)), _drop_types(mark(policy, keys))]
    table = _drop_types(routes(policy))
    secret = _drop_types(certificate(policy.tls, "")) if policy.tls else {}
    pair = {key: value for key, value in secret.get("tls_certificate", {}).items() if key != "watched_directory"}
    listeners = _listeners(policy, checks, {"route_config": table}, {"tls_certificates": [pair]})
    return {
        "node": {"id": "gateway", "cluster": "ragops"},
        **_process(),
        "static_resources": {"listeners": listeners, "clusters": [_drop_types(cluster(policy))]},
    }


def _drop_types(value: Json) -> Json:
    return {key: item for key, item in value.items() if key != "@type"}


def _source(folder: str, name: str) -> Json:
    """Read again when a file is moved into `folder`."""
    watched = {"path": f"{folder}/{name}", "watched_directory": {"path": folder}}
    return {"path_config_source": watched, "resource_api_version": "V3"}


def _discover(folder: str, name: str, kind: str) -> Json:
    return {"config_source": _source(folder, name), "type_urls": [f"{HTTP}.{kind}".removeprefix(TYPES)]}


def _process() -> Json:
    """Return the settings of logs as JSON lines, and of the most connections."""
    connections = add_type(
        f"{TYPES}envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=10_000,
    )
    monitor = "envoy.resource_monitors.global_downstream_max_connections"
    line = {"time": "%Y-%m-%dT%T.%eZ", "level": "%l", "logger": "%n", "message": "%j"}
    return {
        "application_log_config": {"log_format": {"json_format": line}},
        # The bound is for patterns of strangers; ours are constants.
        "layered_runtime": {
            "layers": [{"name": "static", "static_layer": {"re2.max_program_size.error_level": 1000}}],
        },
        "overload_manager": {"resource_monitors": [{"name": monitor, "typed_config": connections}]},
    }


def _listeners(policy: GatewayPolicy, checks: list[Json], source: Json, certificates: Json) -> list[Json]:
    chain: Json = {"filters": [{"name": "http", "typed_config": _http(policy, checks, source)}]}
    listeners = [_listener("http", policy.listen, policy.port, chain)]
    if policy.tls is not None:
        parameters = {"tls_minimum_protocol_version": "TLSv1_2"}
        context = add_type(
            f"{TYPES}envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            common_tls_context={**certificates, "tls_params": parameters, "alpn_protocols": ["h2", "http/1.1"]},
        )
        socket = {"name": "envoy.transport_sockets.tls", "typed_config": context}
        secure = {**chain, "transport_socket": socket, "transport_socket_connect_timeout": "10s"}
        listeners.append(_listener("https", policy.listen, policy.tls.port, secure))
    return listeners


def _listener(name: str, address: str, port: int, chain: Json) -> Json:
    return {
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "per_connection_buffer_limit_bytes": 1 << 20,
        "filter_chains": [chain],
    }


def _http(policy: GatewayPolicy, checks: list[Json], source: Json) -> Json:
    return add_type(
        HTTP_LISTENER,
        stat_prefix="gateway",
        server_name="ragops",
        **source,
        # One spelling for every path, before anything is matched.
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        strip_any_host_port=True,
        # What the client reports of itself is dropped, what the connection reports is put in its place.
        early_header_mutation_extensions=[_drop_internal_headers()],
        use_remote_address=True,
        # No client is trusted for its address: by default the whole private network is.
        internal_address_config={"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
        request_id_extension={"typed_config": _request_ids()},
        preserve_external_request_id=True,
        always_set_request_id_in_response=True,
        request_headers_timeout="10s",
        request_timeout=f"{policy.upstream.answer_timeout}s",
        stream_idle_timeout=f"{policy.upstream.answer_timeout + 5}s",
        max_request_headers_kb=32,
        common_http_protocol_options={
            "headers_with_underscores_action": "ALLOW",  # the route table refuses some, a filter drops the rest
            "idle_timeout": "300s",
            "max_headers_count": 100,
        },
        http2_protocol_options={
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 1 << 16,
            "initial_connection_window_size": 1 << 20,
        },
        local_reply_config=local_replies(),
        access_log=[access_log()],
        http_filters=_filters(policy, checks),
    )


def _filters(policy: GatewayPolicy, checks: list[Json]) -> list[Json]:
    """In this order: a consumer is who a signature proves it to be, and only who has a token is buffered."""
    return [
        {"name": CORS, "typed_config": add_type(f"{HTTP}.cors.v3.Cors")},
        {"name": ADDRESS_LIMIT, "typed_config": idle(ADDRESS_LIMIT)},
        *checks,
        {"name": CONSUMER_LIMIT, "typed_config": idle(CONSUMER_LIMIT)},
        {"name": "envoy.filters.http.header_mutation", "typed_config": _drop_underscores()},
        {"name": BUFFER, "typed_config": add_type(f"{HTTP}.buffer.v3.Buffer", max_request_bytes=policy.body_limit)},
        {
            "name": "envoy.filters.http.router",
            "typed_config": add_type(f"{HTTP}.router.v3.Router", suppress_envoy_headers=True),
        },
    ]


def _drop_internal_headers() -> Json:
    mutations: list[Json] = [{"remove": name} for name in INTERNAL_HEADERS]
    mutations.append({"remove_on_match": {"key_matcher": {"prefix": INTERNAL_HEADER_PREFIX, "ignore_case": True}}})
    kind = f"{TYPES}envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": add_type(kind, mutations=mutations),
    }


def _drop_underscores() -> Json:
    """Limit requests after the route was chosen, so that a refused one is answered and not dropped."""
    kind = f"{HTTP}.header_mutation.v3.HeaderMutation"
    return add_type(kind, mutations={"request_mutations": [{"remove_on_match": {"key_matcher": {"contains": "_"}}}]})


def _request_ids() -> Json:
    return add_type(f"{TYPES}envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig", pack_trace_reason=False)
