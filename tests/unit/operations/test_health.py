"""What `up` has to say of a platform: one finding for one cause."""

from __future__ import annotations

from ragops.operations.observe.health import Health
from ragops.services.contract import Check, ProbeResult, Status
from ragops.services.contract.probe import SCHEMA_MISSING

MISSING = Check("schema", Status.DEGRADED, "in whatever words", code=SCHEMA_MISSING)
FOLLOWS = Check("database", Status.DEGRADED, "UndefinedTable")
OTHER = Check("qdrant", Status.DEGRADED, "slow")


def health(*checks: tuple[str, Check]) -> Health:
    return Health(tuple(ProbeResult(service, (check,), 0.1) for service, check in checks), 0.1)


def test_what_follows_from_a_missing_schema_is_no_finding_of_its_own():
    found = health(("timescaledb", MISSING), ("api", FOLLOWS), ("api", OTHER))
    assert found.lacks_schema
    assert found.unsettled == (("api", OTHER),)


def test_with_a_schema_the_same_finding_counts():
    found = health(("timescaledb", Check("schema", Status.OK, "5 migrations applied")), ("api", FOLLOWS))
    assert not found.lacks_schema
    assert found.unsettled == (("api", FOLLOWS),)


def test_the_words_of_a_finding_decide_nothing():
    found = health(("timescaledb", Check("schema", Status.DEGRADED, "there is no rag schema yet")), ("api", FOLLOWS))
    assert not found.lacks_schema
