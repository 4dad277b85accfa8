"""Questions that go on while a collection changes: each answer is kept with the time at which it was asked."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Self

import httpx

from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAUSE = 0.01


class Answer(NamedTuple):
    """When it was asked for, its texts, whether the cache had it."""

    asked: float
    texts: tuple[str, ...]
    cached: bool


@dataclass
class Questions:
    """One thread for each of `urls` (API, gateway) asks `collection` until the block ends."""

    urls: Sequence[str]
    token: str
    collection: str
    topics: Sequence[str]
    answers: list[Answer] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._ask, args=(url,)) for url in self.urls]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def go_on(self, more: int = 40) -> float:
        """Return when so many more were answered, with the time at which they were begun."""
        now, wanted = time.monotonic(), len(self.answers) + len(self.failed) + more
        wait_until(lambda: len(self.answers) + len(self.failed) >= wanted, 60, "more answers")
        return now

    def between(self, begin: float, end: float = float("inf")) -> list[Answer]:
        """Return the answers to questions that were asked in that time."""
        return [one for one in self.answers if begin <= one.asked < end]

    def _ask(self, url: str) -> None:
        headers, number = {"Authorization": f"Bearer {self.token}"}, 0
        with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False, verify=False) as client:
            while not self._stop.wait(_PAUSE):
                number += 1
                topic = self.topics[number % len(self.topics)]
                query = topic if number % 2 else f"{topic} {number}"
                asked = time.monotonic()
                try:
                    found = client.post("/api/v1/search", json={"collection": self.collection, "query": query})
                    body = found.raise_for_status().json()
                    answer = Answer(asked, tuple(one["text"] for one in body["results"]), body["cached"])
                    assert answer.texts, body
                except (httpx.HTTPError, AssertionError) as error:
                    text = error.response.text if isinstance(error, httpx.HTTPStatusError) else ""
                    self.failed.append(f"{url}: {error!r} {text}")
                else:
                    self.answers.append(answer)
