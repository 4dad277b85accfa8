"""What a scrape sums over the workers: those that have ended count no longer where the present state is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_WORKER = """
from ragops.api.metrics import Metrics
metrics = Metrics()
metrics.breaker_state.labels("qdrant").set({level})
metrics.legacy.labels("/search").inc()
print(metrics.text().decode())
"""


def worker(folder: Path, level: int) -> str:
    """What a worker that sets its breaker exposes; it has ended when this returns."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    command = [sys.executable, "-c", _WORKER.format(level=level)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_the_breaker_of_a_worker_that_died_is_forgotten_and_its_counts_stay(tmp_path: Path) -> None:
    assert 'ragops_api_breaker_state{dependency="qdrant"} 2.0' in worker(tmp_path, 2)
    text = worker(tmp_path, 0)
    assert 'ragops_api_breaker_state{dependency="qdrant"} 0.0' in text
    assert 'ragops_api_legacy_requests_total{path="/search"} 2.0' in text
