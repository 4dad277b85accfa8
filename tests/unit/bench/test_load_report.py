"""The report of a load run: figures by request, what a number of cores would hold, memory that grows."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))

from load_processes import Usage
from load_report import Outcome, render

MIB = 1 << 20


@dataclass(frozen=True)
class Sample:
    at: float
    services: dict[str, Usage]
    busy: float


def outcome(*, failed: int = 0, dropped: int = 0, p95: float = 20.0, grows: bool = False) -> Outcome:
    times = {"med": 4.0, "p(95)": p95, "p(99)": 40.0, "max": 90.0}
    found = {"requests": 10_000, "rate": 1000.0, "failed": failed, "dropped": dropped, "milliseconds": times}
    samples = tuple(
        Sample(
            n * 10.0, {"api": Usage(n * 0.5, (100 + n * 20 * grows) * MIB), "gateway": Usage(n * 0.2, 50 * MIB)}, 0.5
        )
        for n in range(11)
    )
    questions = {"repeated": times, "distinct": {}}
    return Outcome({**found, **questions}, 10.0, 2.0, samples[0], samples[-1], samples)


def text(one: Outcome) -> str:
    return render("head", one, rate=1000, cores=2)


def test_processor_time_is_that_of_a_request():
    found = text(outcome())
    assert "| api | 0.500 |" in found
    assert "| gateway | 0.200 |" in found
    assert "| all services | 0.700 |" in found
    assert "| k6, the generator | 0.200 |" in found


def test_what_cores_hold_leaves_the_generator_out():
    found = text(outcome())
    assert "2 cores without the generator hold 2000 requests/s, 4 cores 4000" in found
    assert "1000 requests/s need 1.0 cores" in found
    assert "kept 0.90 of 2 cores busy, other work on the machine 0.10" in found


@pytest.mark.parametrize(
    ("case", "row"),
    [
        ({"failed": 10}, "| failed | 0.100% | below 0.1% | no |"),
        ({"failed": 9}, "| failed | 0.090% | below 0.1% | yes |"),
        ({"dropped": 1}, "| not sent in time | 1 | 0 | no |"),
        ({"p95": 50.0}, "| p95 | 50.0 ms | below 50 ms | no |"),
    ],
)
def test_a_missed_bar_is_a_no(case, row):
    assert row in text(outcome(**case))


def test_memory_that_grows_is_named():
    assert "More than a tenth more: none." in text(outcome())
    assert "More than a tenth more: api." in text(outcome(grows=True))
