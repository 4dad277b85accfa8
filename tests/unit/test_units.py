"""Sizes and times in one style."""

from __future__ import annotations

import pytest

from ragops.units import duration, parse_duration, parse_size, size


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1023, "1023 B"), (15 << 10, "15 KiB"), (110_000_000, "104.9 MiB"), (3 << 40, "3072.0 GiB")],
)
def test_sizes(number: int, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (45.2, "45 s"), (119, "119 s"), (700, "12 min"), (86400, "24 h"), (1e6, "12 d")],
)
def test_times(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4096", 4096), ("20MiB", 20 << 20), ("20 mb", 20 << 20), ("1.5G", 3 << 29), ("10Ki", 10240), ("7B", 7),
        ("", None), ("MiB", None), ("-1", None), ("1e3", None), ("5 miles", None), ("1.2.3", None),
    ],
)  # fmt: skip
def test_sizes_are_parsed(text: str, number: int | None) -> None:
    assert parse_size(text) == number


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        (" 10m ", 600),
        ("10min", 600),
        ("2 h", 7200),
        ("7d", 604800),
        ("2w", 1209600),
        ("1y", 31536000),
        ("", None),
        ("d", None),
        ("1.5h", None),
        ("-1d", None),
        ("1d2h", None),
        ("5 years", None),
        ("999999d", None),
    ],
)
def test_durations_are_parsed(text: str, seconds: int | None) -> None:
    found = parse_duration(text)
    assert (found and found.total_seconds()) == seconds
