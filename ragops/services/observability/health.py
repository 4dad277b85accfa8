"""The probe of observability: Prometheus, its targets and rules, Alertmanager, Grafana."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx

from ragops.services.contract import Check, ProbeResult, Status
from ragops.services.observability import PROMETHEUS, TITLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.services.contract import Endpoint

_LOG = "see `ragops logs observability`"
_SHOWN = 5  # names of what is down


def instance_title(endpoint: Endpoint, instance: str) -> tuple[str, str]:
    """Return title and version of one of the containers; of Prometheus if there is no other."""
    names, versions = (endpoint.options.get(key, "").split(",") for key in ("instances", "versions"))
    known = dict(zip(names, versions, strict=False))
    title = TITLES.get(instance, TITLES[PROMETHEUS] if instance == endpoint.service else instance)
    return title, known.get(instance, endpoint.version)


def probe(endpoint: Endpoint, timeout: float) -> ProbeResult:
    """Probe the live programs for at most `timeout` seconds; never raises."""
    started = time.monotonic()
    checks: list[Check] = []
    try:
        with httpx.Client(timeout=max(timeout / 2, 0.1), trust_env=False) as client:
            checks += _prometheus(client, f"http://{endpoint.host}:{endpoint.port}")
            checks += _others(client, endpoint)
    except Exception as error:
        checks.append(Check("answer", Status.DEGRADED, f"unexpected answer: {type(error).__name__}: {error}", _LOG))
    return ProbeResult("observability", tuple(checks), time.monotonic() - started, endpoint.version)


def _prometheus(client: httpx.Client, url: str) -> Iterator[Check]:
    """Check Prometheus. The platform works without: nothing of it makes `up` fail."""
    if fault := _fault(client, f"{url}/-/ready"):
        yield Check("prometheus", Status.DEGRADED, fault, _LOG)
        return
    yield Check("prometheus", Status.OK, "answers and is ready")
    yield _targets(client.get(f"{url}/api/v1/targets", params={"state": "active"}).json())
    yield _rules(client.get(f"{url}/api/v1/rules").json())


def _targets(answer: Any) -> Check:
    found = answer["data"]["activeTargets"]
    down = [item for item in found if item["health"] == "down"]
    waiting = [item for item in found if item["health"] == "unknown"]
    if down:
        names = [f"{item['labels']['job']}/{item['labels']['instance']}: {item['lastError']}" for item in down]
        more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        text = f"{len(down)} of {len(found)} targets are down: {'; '.join(names[:_SHOWN])}{more}"
        return Check("targets", Status.DEGRADED, text, "`ragops health` of the service shows why, or its log")
    if waiting:
        return Check("targets", Status.OK, f"{len(found) - len(waiting)} of {len(found)} up, the others not read yet")
    return Check("targets", Status.OK, f"all {len(found)} are up")


def _rules(answer: Any) -> Check:
    rules = [(group, rule) for group in answer["data"]["groups"] for rule in group["rules"]]
    failing = [f"{group['name']}/{rule['name']}: {rule.get('lastError', '')}" for group, rule in rules
               if rule.get("health") == "err"]  # fmt: skip
    if failing:
        return Check("rules", Status.DEGRADED, f"{len(failing)} fail: {'; '.join(failing[:_SHOWN])}", _LOG)
    firing = sorted({rule["name"] for _, rule in rules if rule["type"] == "alerting" and rule["state"] == "firing"})
    text = f"{len(rules)} loaded" + (f"; firing: {', '.join(firing)}" if firing else "")
    return Check("rules", Status.OK, text)


def _others(client: httpx.Client, endpoint: Endpoint) -> Iterator[Check]:
    for name, path in (("alertmanager", "/-/ready"), ("grafana", "/api/health")):
        if url := endpoint.options.get(name):
            fault = _fault(client, f"{url}{path}")
            yield Check(name, Status.DEGRADED if fault else Status.OK, fault or "answers", _LOG if fault else "")


def _fault(client: httpx.Client, url: str) -> str:
    """Return why a page is not answered as it should, empty if it is."""
    try:
        answer = client.get(url)
    except httpx.HTTPError as error:
        return f"does not answer: {type(error).__name__}"
    return "" if answer.status_code == httpx.codes.OK else f"answers with {answer.status_code}"
