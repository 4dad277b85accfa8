"""A change that the cluster lost is sent again; the real thing is in tests/docker/qdrant."""

from __future__ import annotations

import httpx
import pytest

from ragops.adapters.qdrant.failures import retry_consensus
from ragops.adapters.qdrant.http import HttpClient
from ragops.errors import RagopsError

LOST = RagopsError("qdrant_error", "qdrant-1 answers 500: Waiting for consensus operation commit failed. Timeout: 15 s")
EXISTS = RagopsError("qdrant_exists", "qdrant-1 answers 409: Collection `docs` already exists!")
GONE = RagopsError("qdrant_not_found", "qdrant-1 answers 404")


class Change:
    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)

    def __call__(self) -> object:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_change_that_was_lost_is_sent_again() -> None:
    change = Change(LOST, LOST, "done")
    assert retry_consensus(change) == "done"
    assert change.answers == []


@pytest.mark.parametrize("answer", [EXISTS, GONE])
def test_a_lost_change_that_was_carried_out_after_all_counts(answer: RagopsError) -> None:
    assert retry_consensus(Change(LOST, answer), answer.code) is None


@pytest.mark.parametrize("answers", [(EXISTS,), (LOST, GONE), (LOST, LOST, LOST, LOST)])
def test_every_other_failure_is_raised(answers: tuple[RagopsError, ...]) -> None:
    change = Change(*answers)
    with pytest.raises(RagopsError) as raised:
        retry_consensus(change, "qdrant_exists")
    assert raised.value is answers[-1]
    assert change.answers == []


@pytest.mark.parametrize(("seconds", "limit"), [(None, 90.0), (0.5, 0.5), (600.0, 90.0)])
def test_a_change_takes_no_longer_than_its_client_may(seconds: float | None, limit: float) -> None:
    """A probe creates the health collection, too, and has to end in its time."""
    limits = []

    def answer(request: httpx.Request) -> httpx.Response:
        limits.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, json={"result": True})

    with httpx.Client(base_url="http://qdrant", timeout=3600, transport=httpx.MockTransport(answer)) as transport:
        client = HttpClient(transport)
        (client if seconds is None else client.within(seconds)).change("PUT", "/collections/docs", {})
    assert limits == [limit]
