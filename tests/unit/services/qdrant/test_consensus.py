"""What the cluster lost is asked for again; the real thing is in tests/docker/qdrant."""

from __future__ import annotations

from typing import Any

import pytest

from ragops.errors import RagopsError
from ragops.services.qdrant.cluster.consensus import retry_consensus

LOST = RagopsError("qdrant_error", "qdrant-1 answers 500: Waiting for consensus operation commit failed. Timeout: 15 s")
EXISTS = RagopsError("qdrant_exists", "qdrant-1 answers 409: Collection `docs` already exists!")
GONE = RagopsError("qdrant_not_found", "qdrant-1 answers 404")


class Client:
    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[Any, ...]] = []

    def send(self, method: str, path: str, body: object = None, **query: str) -> object:
        self.asked.append((method, path, body, query))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_change_is_asked_for_once_and_given_its_time() -> None:
    client = Client(True)
    assert retry_consensus(client, "PATCH", "/collections/docs", {"params": {}}, wait="true") is True
    assert client.asked == [("PATCH", "/collections/docs", {"params": {}}, {"timeout": "15", "wait": "true"})]


def test_what_was_lost_is_asked_for_again() -> None:
    client = Client(LOST, LOST, True)
    assert retry_consensus(client, "DELETE", "/collections/docs") is True
    assert len(client.asked) == 3


@pytest.mark.parametrize(("method", "answer"), [("PUT", EXISTS), ("DELETE", GONE)])
def test_what_an_earlier_try_made_after_all_is_made(method: str, answer: RagopsError) -> None:
    assert retry_consensus(Client(LOST, answer), method, "/collections/docs") is True


@pytest.mark.parametrize("answers", [(EXISTS,), (LOST, GONE), (LOST, LOST, LOST, LOST)])
def test_everything_else_is_told(answers: tuple[RagopsError, ...]) -> None:
    client = Client(*answers)
    with pytest.raises(RagopsError) as told:
        retry_consensus(client, "PUT", "/collections/docs")
    assert told.value is answers[-1]
    assert client.answers == []
