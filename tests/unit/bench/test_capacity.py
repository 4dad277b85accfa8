"""The estimate of what a machine holds, against cases worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))

import capacity

COSTS = capacity.Costs(
    api_cached=0.5, api_distinct=3.0, gateway=0.4, redis=0.1, qdrant=2.0, log=0.0, words_of_point=1792
)


def test_a_request_costs_what_its_services_take():
    assert COSTS.request(1.0) == pytest.approx(1.0)
    assert COSTS.request(0.0) == pytest.approx(5.5)
    assert COSTS.request(0.8) == pytest.approx(0.8 * 1.0 + 0.2 * 5.5)


def test_requests_of_a_second():
    assert capacity.held(COSTS, 2, repeated=1.0, busy=0.5) == pytest.approx(1000)
    assert capacity.held(COSTS, 2, repeated=1.0, busy=0.5, client=1.0) == pytest.approx(500)


def test_points_by_memory_and_copies():
    assert COSTS.point == 4096
    assert capacity.points(COSTS, 2, copies=1) == pytest.approx((4 << 30) / 4096)
    assert capacity.points(COSTS, 2, copies=2) == pytest.approx((2 << 30) / 4096)


def test_the_page_has_the_table_of_today():
    page = capacity.PAGE.read_text()
    assert capacity.table() in page, "run `make capacity`"
    assert capacity.rows() in page, "run `make capacity`"
