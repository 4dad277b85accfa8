"""Invalidate the API's cache of answers after an ingest or a restore."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import httpx

from ragops.errors import RagopsError

if TYPE_CHECKING:
    from ragops.operations.session import Session

_SECONDS = 5.0


def invalidate_answer_cache(session: Session) -> bool:
    """Invalidate the API's cached answers; return False if it does not answer (they expire soon)."""
    with contextlib.suppress(RagopsError, httpx.HTTPError):
        api = session.endpoint("api")
        # A proxy of the environment has no business between us and our own API.
        with httpx.Client(timeout=_SECONDS, trust_env=False) as client:
            answer = client.post(
                f"http://{api.host}:{api.port}/internal/collections/refresh",
                headers={"X-Service-Token": api.logins["application"].password.get_secret_value()},
                json={},
            )
        return answer.is_success
    return False
