"""Which changes of version are taken, and what is said of those that are not."""

from __future__ import annotations

import pytest

from ragops.errors import ExitCode, UsageError
from ragops.operations.lifecycle.version_changes import refuse, version_changes
from ragops.services import by_name
from ragops.services.contract import Endpoint

ALLOWED = [
    ("redis", "8.0.2", "8.0.5"),
    ("redis", "8.0.2", "8.2.0"),
    ("timescaledb", "2.19.3-pg17", "2.20.0-pg17"),
    ("timescaledb", "17.4", "17.6"),
    ("qdrant", "1.17.1", "1.18.3"),
    ("qdrant", "1.18.0", "1.18.3"),
    ("gateway", "3.9.1", "3.9.0"),
    ("api", "0.2.0", "0.1.0"),
]
REFUSED = [
    ("redis", "8.0.2", "7.4.1", "step back"),
    ("timescaledb", "2.19.3-pg16", "2.19.3-pg17", "does not open the files of PostgreSQL 16"),
    ("timescaledb", "2.19.3-pg17", "2.19.3-pg16", "step back"),
    ("timescaledb", "2.20.0-pg17", "2.19.3-pg17", "step back"),
    ("timescaledb", "17.4", "18.1", "does not open the files of PostgreSQL 17"),
    ("qdrant", "1.16.3", "1.18.3", "1.17"),
    ("qdrant", "1.18.3", "1.17.1", "1.17.1"),
]


def endpoint(service: str, version: str) -> Endpoint:
    return Endpoint(service, "engine", version, "docker", "127.0.0.1", 1)


@pytest.mark.parametrize(("service", "before", "after"), ALLOWED)
def test_a_step_that_the_data_survive_is_allowed_and_says_what_it_costs(service: str, before: str, after: str) -> None:
    step = by_name(service).step(before, after)
    assert step.allowed
    assert step.detail


@pytest.mark.parametrize(("service", "before", "after", "words"), REFUSED)
def test_a_step_that_they_do_not_survive_is_refused_with_the_way_to_do_it(
    service: str, before: str, after: str, words: str
) -> None:
    changes = version_changes({service: endpoint(service, before)}, {service: after})
    with pytest.raises(UsageError) as caught:
        refuse(changes)
    error = caught.value
    assert (error.code, error.exit_code) == ("version_refused", ExitCode.USAGE)
    assert words in error.message + error.hint
    assert error.hint


def test_what_stays_as_it_is_and_what_is_new_are_no_changes() -> None:
    before = {"redis": endpoint("redis", "8.0.2")}
    assert version_changes(before, {"redis": "8.0.2", "qdrant": "1.18.3"}) == ()
