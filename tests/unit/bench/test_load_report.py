"""The report of a load run: figures by request, what a number of cores would hold, memory that grows."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))

from load_processes import Usage
from load_report import Outcome, missed, render

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


def step(name: str, *, failed: int = 0, p99: float = 40.0) -> dict[str, object]:
    times = {"med": 4.0, "p(95)": 20.0, "p(99)": p99, "max": 90.0}
    return {"name": name, "requests": 1000, "failed": failed, "dropped": 0, "milliseconds": times}


def test_the_steps_of_a_run_are_rows_and_the_last_one_is_held_to_the_bars():
    one = outcome()
    found = {**one.found, "steps": [step("half"), step("triple", failed=300), step("after")]}
    rendered = text(
        Outcome(found, *[getattr(one, name) for name in ("wall", "generator", "before", "after", "samples")])
    )
    assert "| triple | 1000 | 30.000% | 0 | 4.0 ms | 20.0 ms | 40.0 ms | no |" in rendered
    assert "| after | 1000 | 0.000% | 0 | 4.0 ms | 20.0 ms | 40.0 ms | yes |" in rendered
    assert missed(found, 1000) == []
    found["steps"].append(step("after", failed=2, p99=201.0))
    assert missed(found, 1000) == ["failed: 0.200%, bar below 0.1%", "p99: 201.0 ms, bar below 200 ms"]


def test_what_was_missed_is_named():
    assert missed(outcome().found, 1000) == []
    assert missed(outcome(dropped=3).found, 1100) == ["requests/s: 1000, bar 1100", "not sent in time: 3, bar 0"]
    assert missed(outcome(p95=60).found, 1000, 250) == []
    one = outcome()
    found = {**one.found, "statuses": [[0, 2], [503, 7]]}
    rest = [getattr(one, name) for name in ("wall", "generator", "before", "after", "samples")]
    rendered = render("head", Outcome(found, *rest), 1000, 2, 250)
    assert "Failures: 2 times no answer, 7 times 503." in rendered
    assert "| p95 | 20.0 ms | below 250 ms | yes |" in rendered


@pytest.mark.parametrize("mode", ["mixed", "search", "query", "soak", "spike", "stress", "smoke"])
def test_every_mode_has_a_script_and_a_place_in_the_page(mode):
    root = Path(__file__).parents[3]
    script = (root / "tests" / "load" / f"{mode}.k6.js").read_text()
    assert "handleSummary" in script
    assert mode == "smoke" or f"<!-- load-{mode} -->" in (root / "docs" / "performance.md").read_text()
