from __future__ import annotations

import pytest

from ragops.errors import UsageError
from ragops.services.qdrant.versions import check_upgrade, find_upgrade_path


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


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ("1.18.3", "1.18.3", ()),
        ("1.18.0", "1.18.2", ("1.18.2",)),
        ("1.17.1", "1.18.3", ("1.18.3",)),
        ("1.17.0", "1.18.0", ("1.17.1", "1.18.0")),
        ("1.16.0", "1.18.3", ("1.16.3", "1.17.1", "1.18.3")),
        ("1.18.3", "1.19.2", ("1.19.2",)),
    ],
)
def test_the_path_of_an_upgrade(before: str, after: str, path: tuple[str, ...]) -> None:
    assert find_upgrade_path(before, after) == path


@pytest.mark.parametrize(
    ("before", "after", "hint"),
    [("1.18.3", "1.17.1", "keep 1.18.3"), ("1.18.3", "1.21.0", "the last 1.19"), ("1.18.3", "latest", "v1.18.3")],
)
def test_no_path_where_a_version_is_unknown_or_older(before: str, after: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_upgrade_path(before, after)
    assert caught.value.code == "version_refused"
    assert hint in caught.value.hint


def test_up_names_the_command_that_takes_several_minors() -> None:
    assert check_upgrade("1.16.3", "1.18.3").hint.startswith("`ragops cluster upgrade`")
