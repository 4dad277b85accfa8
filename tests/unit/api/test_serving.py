"""How the API serves: what its server is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import uvicorn

from ragops.api import __main__ as serving
from ragops.services.gateway.policy import Upstream

if TYPE_CHECKING:
    import pytest


def test_the_gateway_closes_an_idle_connection_before_the_api_does(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda application, **options: told.update(options))
    serving._run(SimpleNamespace(listen=SimpleNamespace(host="127.0.0.1", port=1), workers=1))
    assert told["timeout_keep_alive"] >= Upstream(host="api", port=1).idle_timeout + 10
