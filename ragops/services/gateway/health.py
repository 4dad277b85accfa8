"""The probe of the gateway: reachable, inner paths closed, certificate, upstream."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from cryptography.hazmat.primitives.serialization import Encoding

from ragops.errors import RagopsError
from ragops.services.contract import Capability, Check, ProbeResult, Status
from ragops.services.gateway import certificate
from ragops.services.gateway.policy import CONFIGURATION_HEADER, DENIED, READY_PATH, UPSTREAM_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.services.contract import Endpoint

_LOG = "see `ragops logs gateway`"
_APPLY = "run `ragops gateway apply`"
_ASKS = "/api/v1"
_CLOSED = (400, 404, 429)
_REFUSED = (401, 429)
_CONNECTIONS = 6


def probe(endpoint: Endpoint, timeout: float) -> ProbeResult:
    """Look at the live gateway for at most `timeout` seconds; never raises."""
    started = time.monotonic()
    checks: list[Check] = []
    try:
        base = f"http://{endpoint.host}:{endpoint.port}"
        # Eight questions share the time: none of them waits for anything but the gateway itself.
        with httpx.Client(base_url=base, timeout=timeout / 8, trust_env=False) as client:
            checks.append(_reachable(client))
            checks.append(_check_closed(client))
        if endpoint.options.get("tls_port"):
            checks.append(_certificate(endpoint, timeout / 8, datetime.now(tz=UTC)))
        checks += _upstream(endpoint, timeout / 8)
    except httpx.HTTPError as error:
        checks.append(
            Check("reachable", Status.DOWN, f"does not answer: {type(error).__name__}", f"`ragops up`; {_LOG}")
        )
    except Exception as error:
        checks.append(Check("answer", Status.DOWN, f"unexpected answer: {type(error).__name__}: {error}", _LOG))
    return ProbeResult("gateway", tuple(checks), time.monotonic() - started, endpoint.version)


def _reachable(client: httpx.Client) -> Check:
    started = time.monotonic()
    answer = client.get(READY_PATH)
    milliseconds = (time.monotonic() - started) * 1000
    if CONFIGURATION_HEADER not in answer.headers:
        what = f"what answers on port {client.base_url.port} is not this gateway with its configuration"
        hint = "run `ragops drift`, which names another program that listens there, else `ragops gateway apply`"
        return Check("reachable", Status.DOWN, what, hint)
    if answer.status_code != httpx.codes.OK:
        return Check("reachable", Status.DOWN, f"{READY_PATH} answers {answer.status_code}", _APPLY)
    return Check("reachable", Status.OK, f"answers in {milliseconds:.0f} ms")


def _check_closed(client: httpx.Client) -> Check:
    """Without a token nothing is let through, and inner paths are not there."""
    status = client.get(_ASKS).status_code
    if status not in _REFUSED:
        return Check("closed", Status.DOWN, f"{_ASKS} without a token answers {status}", _APPLY)
    for path in DENIED:
        if (status := client.get(path).status_code) not in _CLOSED:
            return Check("closed", Status.DOWN, f"the inner path {path} answers {status}", _APPLY)
    return Check("closed", Status.OK, "tokens are asked for, inner paths are not there")


def _certificate(endpoint: Endpoint, timeout: float, now: datetime) -> Check:
    """Whether HTTPS answers with the certificate on disk, and how long that holds."""
    path = Path(endpoint.options.get("certificate", ""))
    try:
        certificate.require_pair(path.parent)
    except RagopsError as error:
        return Check("certificate", Status.DEGRADED, error.message, error.hint)
    try:
        found = certificate.load(path)
        shown = _shown_certificate(endpoint, timeout)
    except (httpx.HTTPError, OSError, ValueError) as error:
        return Check("certificate", Status.DOWN, f"HTTPS does not answer as it should: {error}", f"`ragops up`; {_LOG}")
    if shown != found.public_bytes(Encoding.DER):
        return Check("certificate", Status.DEGRADED, f"HTTPS shows another certificate than {path}", _APPLY)
    left = found.not_valid_after_utc - now
    if left >= certificate.RENEW_BEFORE:
        return Check("certificate", Status.OK, f"valid for {left.days} more days")
    hint = f"renew it with its issuer, put both files into {path.parent}, then {_APPLY}"
    if certificate.is_generated(found):
        hint = "run `ragops up`, which makes a new one"
    if left < timedelta(0):
        return Check("certificate", Status.DOWN, f"expired on {found.not_valid_after_utc:%Y-%m-%d}", hint)
    return Check("certificate", Status.DEGRADED, f"expires in {left.days} days", hint)


def _shown_certificate(endpoint: Endpoint, timeout: float) -> bytes:
    """Return the certificate that HTTPS answers with (DER); raises httpx.HTTPError if it does not answer."""
    url = f"https://{endpoint.host}:{endpoint.options['tls_port']}{READY_PATH}"
    with httpx.Client(verify=certificate.trust_any(), timeout=timeout, trust_env=False) as client:
        return certificate.read_served(client.get(url).raise_for_status())


def _upstream(endpoint: Endpoint, timeout: float) -> Iterator[Check]:
    """Check the API by the gateway's own health checks; Envoy's only if its socket can be reached."""
    socket = endpoint.options.get("admin", "")
    if not socket:
        yield from _check_by_header(endpoint, timeout)
        return
    if not endpoint.can(Capability.READ_FILES) or not Path(socket).is_socket():
        return
    with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
        transport = httpx.HTTPTransport(uds=socket)
        with httpx.Client(transport=transport, timeout=timeout, trust_env=False) as client:
            clusters = client.get("http://admin/clusters?format=json").raise_for_status().json()
        hosts = [host for item in clusters["cluster_statuses"] for host in item.get("host_statuses", ())]
        yield _passes(
            not any(host["health_status"].get("failed_active_health_check") for host in hosts) and bool(hosts)
        )


def _check_by_header(endpoint: Endpoint, timeout: float) -> Iterator[Check]:
    """Check the API by Kong's ready path, several times: each connection may meet another worker.

    Each resolves the address of a recreated API by itself.
    """
    with contextlib.suppress(httpx.HTTPError):
        url = f"http://{endpoint.host}:{endpoint.port}{READY_PATH}"
        end, state = time.monotonic() + timeout / 2, None
        for _ in range(_CONNECTIONS):
            state = httpx.get(url, timeout=timeout / 2, trust_env=False).headers.get(UPSTREAM_HEADER)
            if state != "healthy" or time.monotonic() > end:
                break
        if state is not None:
            yield _passes(state == "healthy")


def _passes(well: bool) -> Check:
    if well:
        return Check("upstream", Status.OK, "the API passes the gateway's health check")
    hint = "run `ragops health api` for the reason; until then requests are answered 503"
    return Check("upstream", Status.DEGRADED, "the API does not pass the gateway's health check", hint)
