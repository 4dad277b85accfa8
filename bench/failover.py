"""`make bench-failover`: the slowest read and write while a node is killed, stopped or frozen, and a soak without a fault."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from measure import publish

sys.path.insert(0, str(Path(__file__).parent.parent))

from ragops.services.qdrant.node import STOP_GRACE
from tests.chaos import network
from tests.chaos.world import Remote, Result
from tests.qdrant_processes import BINARY

SEED = os.environ.get("SEED", f"{datetime.now(UTC):%Y%m%d}")
RUNS, SOAK_SECONDS = int(os.environ.get("RUNS", "6")), float(os.environ.get("SOAK", "120"))
FAULTS = {"kill": 3.0, "stop": 3.0, "pause": 12.0}


def main() -> None:
    program = Path(os.environ[BINARY])
    if why := network.missing():
        sys.exit(f"not here: {why}")
    folder = Path(tempfile.mkdtemp(prefix="ragops-test-"))
    world = Remote(folder, program, folder / "kept")
    try:
        results: list[Result] = []
        for kind, lasts in FAULTS.items():
            for number in range(RUNS):
                results.append(
                    world.run(
                        number=len(results),
                        seed=f"{SEED}-{number}",
                        kind=kind,
                        lasts=lasts,
                        layout=0,
                        with_command=False,
                    )
                )
                print(vars(results[-1]), file=sys.stderr, flush=True)
        results.append(
            world.run(
                number=len(results),
                seed=SEED,
                kind="nothing",
                lasts=SOAK_SECONDS,
                layout=0,
                with_command=False,
                pause=0.0,
            )
        )
        publish("bench-failover", table(results))
    finally:
        world.close()
        shutil.rmtree(folder, ignore_errors=True)


def table(results: list[Result]) -> str:
    load = os.getloadavg()[1]
    lines = [
        f"`make bench-failover` on {os.cpu_count()} cores, load {load:.0f}, {datetime.now(UTC):%Y-%m-%d}, seed {SEED}: three nodes in networks of "
        "their own on this machine, one shard with three copies, 2 writers through ingest's client, 2 searches at once through the API's, "
        f"reads of every node; {RUNS} runs of each fault, the leader in half of them.",
        "",
        "| | searches failed | slowest search | writes failed | slowest write, median (most) | all copies active after | elections |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind in dict.fromkeys(result.fault for result in results):
        runs = [result for result in results if result.fault == kind]
        writes = [result.slowest_write for result in runs]
        lines.append(
            f"| {NAMES.get(kind, kind)} | {failed(runs, 'searches')} | {max(one.slowest_search for one in runs):.1f} s | "
            f"{failed(runs, 'writes')} | {statistics.median(writes):.1f} s ({max(writes):.1f} s) | "
            f"{max(one.whole_after for one in runs):.1f} s | {sum(one.terms for one in runs)} |"
        )
    wrong = [text for result in results for text in (*result.violations, *([result.error] if result.error else []))]
    lines += [
        "",
        f"Acknowledged writes lost, deleted points that returned: {len(wrong)} of {sum(one.checked_reads for one in results)} reads checked.",
    ]
    return "\n".join([*lines, *wrong])


NAMES = {
    "nothing": f"nothing, for {SOAK_SECONDS:.0f} s at full load", "kill": "a node killed", "stop": f"a node stopped, {STOP_GRACE:g} s of grace",
    "pause": "a node frozen",
}  # fmt: skip


def failed(runs: list[Result], what: str) -> str:
    return f"{sum(len(getattr(one, f'failed_{what}')) for one in runs)} of {sum(getattr(one, what) for one in runs)}"


if __name__ == "__main__":
    main()
