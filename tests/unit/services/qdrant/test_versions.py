from __future__ import annotations

import pytest

from ragops.services.qdrant.versions import check_upgrade


@pytest.mark.parametrize(
    ("before", "after"), [("1.18.0", "1.18.3"), ("1.18.3", "1.19.0"), ("1.18.3", "v1.19.2"), ("1.19.0", "1.20.1")]
)
def test_up_by_a_patch_or_one_minor(before: str, after: str) -> None:
    found = check_upgrade(before, after)
    assert found.allowed
    assert "node by node" in found.detail


@pytest.mark.parametrize(
    ("before", "after", "hint"),
    [
        ("1.18.3", "1.17.1", "keep 1.18.3"),
        ("1.18.3", "1.18.2", "keep 1.18.3"),
        ("1.18.1", "1.19.0", "step by step: 1.18.3, then 1.19.0"),
        ("1.16.0", "1.18.3", "step by step: 1.16.3, then 1.17.1, then 1.18.3"),
        ("1.18.3", "1.21.0", "step by step: the last 1.19, then the last 1.20, then 1.21.0"),
        ("1.20.2", "2.0.0", "step by step: the last 1.x, then 2.0.0"),
        ("1.18.3", "latest", "v1.18.3"),
    ],
)
def test_every_other_step_is_refused_with_the_way_that_is_open(before: str, after: str, hint: str) -> None:
    found = check_upgrade(before, after)
    assert not found.allowed
    assert hint in found.hint
