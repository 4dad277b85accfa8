"""The rate limit: one bucket for each consumer, one for each address from which no token comes."""

from __future__ import annotations

import http.client
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.contract.gateway.conftest import ENGINES, KINDS, ORIGIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.contract.gateway.asked import Gateway

API, OTHER_VERSION, LEGACY = "/api/v1/search", "/api/v2/search", "/search"
LIMIT = {"requests": 1, "per": "minute", "burst": 30}  # what is used up stays so for the length of a test


@pytest.fixture(scope="module", params=KINDS)
def limited(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """A gateway with small buckets, one for a module: each test has consumers of its own."""
    with ENGINES[request.param](origins=(ORIGIN,), rate_limit=LIMIT) as (_, found):
        yield found


@contextmanager
def one_connection(gateway: Gateway) -> Iterator[Callable[[str, str | None], http.client.HTTPResponse]]:
    """Asks for a path with a token on one connection; the answer has been read, into its `text`."""
    url = httpx.URL(gateway.url)
    connection = http.client.HTTPConnection(url.host, url.port, timeout=10)

    def ask(path: str, token: str | None) -> http.client.HTTPResponse:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        answer.text = answer.read()
        return answer

    try:
        yield ask
    finally:
        connection.close()


def use_up(gateway: Gateway, path: str, token: str | None) -> list[http.client.HTTPResponse]:
    """Ask until the bucket is empty, and once more."""
    with one_connection(gateway) as ask:
        return [ask(path, token) for _ in range(LIMIT["burst"] + 1)]


def remaining(gateway: Gateway, path: str, token: str | None) -> int:
    return int(gateway.request("GET", path, token=token).headers["x-ratelimit-remaining"])


def test_a_flood_is_429_and_says_when_to_come_back(limited: Gateway) -> None:
    *passed, refused = use_up(limited, API, limited.token(sub="flood"))
    assert [answer.status for answer in passed] == [200] * LIMIT["burst"]
    assert refused.status == 429
    assert refused.headers["retry-after"] == "60"
    assert refused.headers["content-type"] == "application/problem+json"
    assert json.loads(refused.text)["code"] == "rate_limited"


def test_every_answer_states_the_limit_and_what_is_left_of_it(limited: Gateway) -> None:
    answers = use_up(limited, API, limited.token(sub="counted"))
    assert {answer.headers["x-ratelimit-limit"] for answer in answers} == {str(LIMIT["burst"])}
    left = [int(answer.headers["x-ratelimit-remaining"]) for answer in answers]
    assert left == [*reversed(range(LIMIT["burst"])), 0]
    assert all(0 <= int(answer.headers["x-ratelimit-reset"]) <= 60 * LIMIT["burst"] for answer in answers)
    assert [len(answer.headers.get_all("x-ratelimit-limit")) for answer in answers] == [1] * len(answers)


def test_the_flood_of_one_consumer_refuses_no_other(limited: Gateway) -> None:
    assert use_up(limited, API, limited.token(sub="loud"))[-1].status == 429
    answer = limited.request("GET", API, token=limited.token(sub="quiet"))
    assert answer.status_code == 200
    assert int(answer.headers["x-ratelimit-remaining"]) == LIMIT["burst"] - 1


def test_all_tokens_and_routes_of_a_consumer_share_one_bucket(limited: Gateway) -> None:
    assert use_up(limited, API, limited.token(sub="twice", jti="tok_000000000001"))[-1].status == 429
    second = limited.token(sub="twice", jti="tok_000000000002")
    for path in (API, OTHER_VERSION, LEGACY):
        assert limited.request("GET", path, token=second).status_code == 429


def test_a_page_reads_that_its_consumer_asks_too_often(limited: Gateway) -> None:
    token = limited.token(sub="page")
    use_up(limited, API, token)
    answer = limited.request("GET", API, token=token, headers={"Origin": ORIGIN})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (429, ORIGIN)


def test_a_forged_token_uses_up_nothing_of_the_consumer_that_it_names(limited: Gateway) -> None:
    good = limited.token(sub="victim")
    before = remaining(limited, API, good)
    head, payload, signature = good.split(".")
    forged = f"{head}.{payload}.{signature[::-1]}"
    assert {answer.status for answer in use_up(limited, API, forged)} == {401}
    assert remaining(limited, API, good) == before - 1


def test_a_flood_without_a_token_counts_for_its_address_alone(limited: Gateway) -> None:
    token = limited.token(sub="neighbour")
    before = remaining(limited, API, token)
    answers = use_up(limited, API, None)
    assert (answers[0].status, answers[-1].status) == (401, 429)
    assert answers[-1].headers["retry-after"] == "60"
    for path in ("/nope", "/internal/x"):  # whoever asks: these look at no token
        assert limited.request("GET", path, token=token).status_code == 429
    assert limited.request("GET", "/gateway/ready", token=None).status_code == 200
    assert remaining(limited, API, token) == before - 1
