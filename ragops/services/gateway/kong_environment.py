"""What Kong is started with: all that a new configuration does not change while it runs. No secret is among it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.services.gateway.kong_lua import SANDBOX_REQUIRES

if TYPE_CHECKING:
    from ragops.services.gateway.policy import GatewayPolicy

HTTP_PORT, TLS_PORT, ADMIN_PORT = 8000, 8443, 8001
WORKERS = 2
# Below a folder that the image has: a tmpfs gets the mode of its mount point when a container is started again, and one
# that was made for it belongs to root (runc, "mountToRootfs").
PREFIX = "/tmp/kong"  # noqa: S108  inside the image
LOG_FORMAT = "log.conf"

# Failures only, and never a query or a header that could hold a secret.
LOG_CONF = """\
map $status $ragops_failed {
    default 0;
    ~^[45] 1;
}
map $request_uri $ragops_path {
    default '';
    ~^(?<ragops_until_query>[^?]*) $ragops_until_query;
}
log_format ragops escape=json
    '{"time":"$time_iso8601","level":"access","request_id":"$sent_http_x_request_id","method":"$request_method",'
    '"path":"$ragops_path","status":$status,"upstream_status":"$upstream_status","seconds":$request_time,'
    '"from":"$remote_addr"}';
"""

_ADMIN_BODY = "64m"  # of a configuration: some ten thousand tokens
_SHARED = {
    "DATABASE": "off",
    "PREFIX": PREFIX,
    "ROUTER_FLAVOR": "expressions",
    # Inside the container alone, and reached by exec.
    "ADMIN_LISTEN": f"127.0.0.1:{ADMIN_PORT}",
    "ADMIN_GUI_LISTEN": "off",
    "STATUS_LISTEN": "off",
    "NGINX_DAEMON": "off",
    "ANONYMOUS_REPORTS": "off",
    "HEADERS": "off",
    "HEADERS_UPSTREAM": "off",
    "REQUEST_DEBUG": "off",
    "UNTRUSTED_LUA": "sandbox",
    "UNTRUSTED_LUA_SANDBOX_REQUIRES": ",".join(SANDBOX_REQUIRES),
    "LOG_LEVEL": "warn",
    "PROXY_ERROR_LOG": "/dev/stderr",
    "ADMIN_ACCESS_LOG": "off",
    "ADMIN_ERROR_LOG": "/dev/stderr",
    "LMDB_MAP_SIZE": "128m",
    "MEM_CACHE_SIZE": "16m",
    # Docker's own name server says 600 s; a new API container would not be found for so long.
    "DNS_ORDER": "LAST,A",
    "DNS_VALID_TTL": "2",
    "DNS_NOT_FOUND_TTL": "1",
    # Only what surely never reached the upstream is tried again.
    "NGINX_PROXY_PROXY_NEXT_UPSTREAM": "error",
    "NGINX_PROXY_CLIENT_HEADER_TIMEOUT": "10s",
    "NGINX_PROXY_LARGE_CLIENT_HEADER_BUFFERS": "4 32k",
    "NGINX_ADMIN_CLIENT_MAX_BODY_SIZE": _ADMIN_BODY,
    "NGINX_ADMIN_CLIENT_BODY_BUFFER_SIZE": _ADMIN_BODY,
}


def environment(policy: GatewayPolicy, document: str, log_conf: str) -> dict[str, str]:
    """Kong's environment; `document` and `log_conf` are the paths of its configuration and of LOG_CONF inside."""
    listen = [f"0.0.0.0:{HTTP_PORT} reuseport backlog=16384"]
    if policy.tls is not None:
        listen.append(f"0.0.0.0:{TLS_PORT} http2 ssl reuseport backlog=16384")
    values = {
        **_SHARED,
        "DECLARATIVE_CONFIG": document,
        "PROXY_LISTEN": ", ".join(listen),
        "PROXY_ACCESS_LOG": "/dev/stdout ragops if=$ragops_failed",
        "NGINX_HTTP_INCLUDE": log_conf,
        "NGINX_WORKER_PROCESSES": str(WORKERS),
        "NGINX_PROXY_CLIENT_MAX_BODY_SIZE": str(policy.body_limit),
        "NGINX_PROXY_CLIENT_BODY_TIMEOUT": f"{policy.upstream.answer_timeout}s",
    }
    return {f"KONG_{name}": value for name, value in values.items()}
