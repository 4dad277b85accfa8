"""The report of a very large ingest: memory above the imports, and predictions against what was left."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))

from ingest_scale import describe


def test_memory_and_predictions():
    told = [(float(at), 100.0 - at + 7) for at in range(0, 100, 5)]
    found = {"chunks": 50_000, "seconds": 100.0, "cpu": 25.0, "imports": 120.0, "most": 230.4, "told": told}
    text = describe(found)
    assert "50,000 chunks in 100 s, 500/s" in text
    assert "0.50 ms a chunk" in text
    assert "230 MB, 110 MB above" in text
    assert "| 25% | 82 | 75 |" in text
    assert "| 90% | 17 | 10 |" in text


def test_a_run_that_told_nothing_has_no_rows():
    found = {"chunks": 1, "seconds": 1.0, "cpu": 1.0, "imports": 1.0, "most": 1.0, "told": []}
    assert describe(found).endswith("| --- | --- | --- |")
