"""Looks at a live Ollama: does it answer, and has it every model?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ragops.errors import RagopsError
from ragops.services.contract import Check, ProbeResult, Status
from ragops.services.ollama.models import present
from ragops.services.ollama.settings import add_tag

if TYPE_CHECKING:
    from ragops.services.contract import Endpoint


def probe(endpoint: Endpoint, timeout: float) -> ProbeResult:
    """Reachable, models; never raises."""
    started = time.monotonic()
    try:
        there = present(f"http://{endpoint.host}:{endpoint.port}", timeout)
    except RagopsError as error:
        checks: tuple[Check, ...] = (Check("reachable", Status.DOWN, error.message, error.hint),)
    else:
        reached = Check("reachable", Status.OK, f"answers in {(time.monotonic() - started) * 1000:.0f} ms")
        checks = (reached, _models(endpoint.options["models"].split(","), there))
    return ProbeResult(endpoint.service, checks, time.monotonic() - started, endpoint.version)


def _models(wanted: list[str], there: frozenset[str]) -> Check:
    lacking = [model for model in wanted if add_tag(model) not in there]
    if lacking:
        return Check("models", Status.DOWN, f"missing: {', '.join(lacking)}", "`ragops up` fetches them")
    return Check("models", Status.OK, ", ".join(wanted))
