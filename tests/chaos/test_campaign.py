"""`make test-chaos`: faults on a real cluster under load; no acknowledged write is lost, no deleted point returns.

The seed that pytest prints gives each run its fault, target and duration; the interleaving is the machine's own.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chaos import faults, network
from tests.chaos.world import Remote, Result
from tests.qdrant_processes import binary
from tests.tiers import SEED

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.chaos, pytest.mark.fault]

RUNS = 64
_SEED = os.environ[SEED]  # read here: every test runs without the variables of ragops
_FOLDER = Path(__file__).parents[2] / ".pytest_cache" / "chaos"


class Campaign:
    """The cluster of the campaign, made again after a run that ended it, and the results so far."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program, self._folder, self._made = program, folder, 0
        self._remote: Remote | None = None
        self.results: list[Result] = []

    def run(self, number: int, seed: str, kind: str) -> Result:
        if self._remote is None:
            self._made += 1
            folder = self._folder / f"cluster-{self._made}"
            folder.mkdir()
            self._remote = Remote(folder, self._program, _FOLDER)
        result = self._remote.run(number=number, seed=seed, kind=kind)
        self.results.append(result)
        if result.error:
            self.close()
        return result

    def close(self) -> None:
        if self._remote is not None:
            self._remote.close()
            self._remote = None


@pytest.fixture(scope="module")
def campaign(module_workspace: Path) -> Iterator[Campaign]:
    program = binary()
    if why := network.missing():
        pytest.skip(f"not here: {why}")
    made = Campaign(program, module_workspace)
    try:
        yield made
    finally:
        made.close()
        _FOLDER.mkdir(parents=True, exist_ok=True)
        (_FOLDER / "results.json").write_text(json.dumps([asdict(one) for one in made.results], indent=1))


@pytest.mark.campaign(sample=len(faults.KINDS))
@pytest.mark.parametrize("number", range(RUNS))
def test_nothing_acknowledged_is_lost(campaign: Campaign, number: int) -> None:
    kind = faults.KINDS[number % len(faults.KINDS)]
    if why := faults.why_not(kind):
        pytest.skip(f"not here: {why}")
    result = campaign.run(number, _SEED, kind)
    print(json.dumps(asdict(result), indent=1))
    assert result.error == ""
    assert result.violations == []
    assert result.failed_searches == []
    assert result.failed_writes == []
    assert result.writes > 10, "a run without load proves nothing"
    assert result.checked_reads > 100
