"""`ragops query` without a token: one is issued, used again until its end, and replaced if it was revoked."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ragops.operations.gateway.tokens import NAME

if TYPE_CHECKING:
    from pathlib import Path

SECRET_QUESTION = "who-is-to-be-dismissed"


def ask(ragops: Any, platform: Path) -> dict[str, Any]:
    """The error of a question to no collection that there is: it comes from behind the gateway."""
    done = ragops(
        "query", SECRET_QUESTION, "--collection", "nosuch", "--json", cwd=platform, env={"RAGOPS_TOKEN": None}
    )
    error: dict[str, Any] = done.json()["error"]
    return error


def live_tokens(ragops: Any, platform: Path) -> list[dict[str, Any]]:
    listed = ragops("token", "list", "--json", cwd=platform).json()["tokens"]
    return [item for item in listed if item["name"] == NAME and not item["expired"]]


@pytest.mark.engine
@pytest.mark.slow  # three updates of the gateway
def test_the_operator_needs_no_token(platform: Path, ragops: Any) -> None:
    file = platform / ".ragops" / "run" / "default" / "operator-token"
    assert ask(ragops, platform)["code"] == "collection_not_found"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    [first] = live_tokens(ragops, platform)
    left = datetime.fromisoformat(first["expires"]) - datetime.now(tz=UTC)
    assert timedelta(0) < left <= timedelta(hours=1)
    audit = (platform / ".ragops" / "audit.jsonl").read_text()
    assert json.loads(audit.splitlines()[-1])["command"] == f"ragops token issue {NAME}"
    assert SECRET_QUESTION not in audit
    kept = file.read_text()

    assert ask(ragops, platform)["code"] == "collection_not_found"
    assert file.read_text() == kept
    assert live_tokens(ragops, platform) == [first]

    assert ragops("token", "revoke", first["kid"], cwd=platform).code == 0
    assert ask(ragops, platform)["code"] == "collection_not_found"
    [second] = live_tokens(ragops, platform)
    assert second["kid"] != first["kid"]
    assert ragops("token", "revoke", NAME, cwd=platform).code == 0


def test_a_token_that_is_given_is_taken_as_it_is(platform: Path, ragops: Any) -> None:
    given = ragops("query", "x", "--json", cwd=platform, env={"RAGOPS_TOKEN": "not-a-token"})
    assert given.json()["error"]["code"] == "token_refused"
