"""Envoy's rate limits: a bucket for each consumer, and one for each address from which no token comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.services.gateway.envoy_resources import ADDRESS_LIMIT, CONSUMER_LIMIT, HTTP, JWT, TOKEN, add_type, header
from ragops.services.gateway.policy import BUCKETS, IPV6_PREFIX

if TYPE_CHECKING:
    from ragops.services.gateway.policy import Json, RateLimit

_KIND = f"{HTTP}.local_ratelimit.v3.LocalRateLimit"
_ADDRESS, _CONSUMER = "masked_remote_address", "consumer"


def idle(name: str) -> Json:
    """Return the filter `name` as it stands in the chain: it limits nothing but what a route table gives it."""
    return add_type(_KIND, stat_prefix=name)


def by_address(limit: RateLimit) -> Json:
    """Return the limit of each client address; of IPv6 the network, which one client has for itself."""
    masks = {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": IPV6_PREFIX}
    return _buckets(limit, ADDRESS_LIMIT, _ADDRESS, {_ADDRESS: masks})


def by_consumer(limit: RateLimit) -> Json:
    """Return the limit of each consumer, as the claims of its checked token name it."""
    subject = {"key": JWT, "path": [{"key": TOKEN}, {"key": "sub"}]}
    # A token without a name shares a bucket with its like, and is not let through for that.
    action = {"descriptor_key": _CONSUMER, "metadata_key": subject, "source": "DYNAMIC", "default_value": "-"}
    return _buckets(limit, CONSUMER_LIMIT, _CONSUMER, {"metadata": action})


def _buckets(limit: RateLimit, name: str, key: str, action: Json) -> Json:
    """Return one bucket for each value that `action` finds; the oldest are forgotten, and begin full again."""
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    bucket = {
        "max_tokens": limit.burst,
        "tokens_per_fill": limit.requests,
        "fill_interval": f"{limit.seconds}s",
    }
    return add_type(
        _KIND,
        stat_prefix=name,
        token_bucket=bucket,
        always_consume_default_token_bucket=False,
        rate_limits=[{"actions": [action]}],
        descriptors=[{"entries": [{"key": key}], "token_bucket": bucket}],
        max_dynamic_descriptors=BUCKETS,
        filter_enabled=always,
        filter_enforced=always,
        response_headers_to_add=[header("retry-after", str(limit.retry_after))],
        enable_x_ratelimit_headers="DRAFT_VERSION_03",
    )
