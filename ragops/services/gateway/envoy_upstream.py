"""Envoy's upstream and certificate: resources that are read again when their files are replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.services.gateway.envoy_values import CLUSTER, SECRET, TYPES, add_type

if TYPE_CHECKING:
    from ragops.services.gateway.policy import GatewayPolicy, Tls
    from ragops.services.gateway.rendering import Json


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
