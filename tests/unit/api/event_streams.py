"""Questions whose answers come in events, over real HTTP."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

QUESTION = {"collection": "manuals", "query": "rotation of secrets", "limit": 2}
SECONDS = 20


def events_of(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)
        elif value:
            yield "comment", value


def ask(client: httpx.Client, **changes: Any) -> list[tuple[str, Any]]:
    with client.stream("POST", "/api/v1/query", json=QUESTION | changes) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream"), answer.read()
        return list(events_of(answer.iter_lines()))
