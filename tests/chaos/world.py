"""One cluster in namespaces, and the runs on it: a line of JSON on stdin asks for one, stdout has its result."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragops.ingest.vectors import VectorStore
from ragops.services.qdrant.cluster.cluster import wait_all_active
from ragops.services.qdrant.settings import instance
from tests.chaos import commands, network
from tests.chaos.faults import DISK_BYTES, DISK_NODE, draw
from tests.chaos.history import Outage, check
from tests.chaos.nodes import Nodes
from tests.chaos.project import Project
from tests.chaos.workload import SIZE, Workload, note_attempts

if TYPE_CHECKING:
    from tests.chaos.history import History

_BEFORE, _AFTER, _WHOLE_SECONDS = 1.5, 1.0, 90.0
# One shard with a copy on every node, and more shards than nodes with two copies.
LAYOUTS = ({"shard_number": "1", "replication_factor": "3"}, {"shard_number": "3", "replication_factor": "2"})


@dataclass
class Result:
    """Of one run; times in seconds. `terms` are elections, `late` and `stale` those of the checker's verdict.

    `left_out` is how often a node found that another one did not take a write.
    """

    run: int
    seed: str
    fault: str = ""
    targets: str = ""
    leads: bool = False
    layout: str = ""
    seconds: float = 0.0
    writes: int = 0
    failed_writes: list[str] = field(default_factory=list)
    slowest_write: float = 0.0
    searches: int = 0
    failed_searches: list[str] = field(default_factory=list)
    slowest_search: float = 0.0
    checked_reads: int = 0
    stale: int = 0
    late: int = 0
    whole_after: float = 0.0
    terms: int = 0
    left_out: int = 0
    command: str = ""
    violations: list[str] = field(default_factory=list)
    error: str = ""


class World:
    """The cluster, its folder, and where histories of runs that fail are kept."""

    def __init__(self, folder: Path, program: Path, kept: Path) -> None:
        self.folder, self.kept = folder, kept
        self.project = Project(folder)
        # Settings of Qdrant to compare with those of ragops, as JSON: {"CLUSTER__CONSENSUS__TICK_PERIOD_MS": "50"}.
        self.nodes = Nodes(program, folder, environment=json.loads(os.environ.get("CHAOS_SETTINGS", "{}")))

    def up(self) -> None:
        small = self.nodes.home(DISK_NODE)
        small.mkdir(parents=True)
        network.run("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(small))
        self.nodes.up()

    def run(
        self,
        number: int,
        seed: str,
        kind: str,
        *,
        with_command: bool = True,
        lasts: float | None = None,
        pause: float = 0.02,
        layout: int | None = None,
    ) -> Result:
        """Run the load, let the fault happen, wait until all is whole, and judge what was seen.

        Clients rest `pause` seconds between two requests; `layout` is one of LAYOUTS.
        """
        dice = random.Random(f"{seed} {number}")
        result = Result(number, seed)
        drawn = 0 if dice.random() < 0.7 else 1
        placement = LAYOUTS[drawn if layout is None else layout]
        collection, started = f"run-{number}", time.monotonic()
        with VectorStore.at(self.nodes.endpoint(placement)) as store:
            store.ensure(collection, SIZE)
        wait_all_active(self.nodes.endpoint(), _WHOLE_SECONDS)
        load = Workload(self.nodes, collection, placement, dice, pause)
        fault, term = draw(kind, self.nodes, dice, lasts), self.nodes.term()
        result.fault, result.targets = fault.kind, ", ".join(map(instance, fault.targets))
        result.leads = self.nodes.leader() in fault.targets
        result.layout = " x ".join(placement.values())
        before = self.nodes.failed_updates()
        if with_command:
            self.project.prepare(self.nodes)
        load.start()
        time.sleep(_BEFORE)
        command = commands.begin(self.project, dice) if with_command else None
        began = time.monotonic()
        fault.inject()
        time.sleep(fault.seconds)
        fault.heal()
        healed = time.monotonic()
        wait_all_active(self.nodes.endpoint(), _WHOLE_SECONDS)
        whole = time.monotonic()
        time.sleep(_AFTER)
        load.stop()
        result.command = command.end() if command else ""
        load.history.outages += [Outage(instance(one), began, whole) for one in fault.out]
        wait_all_active(self.nodes.endpoint(), _WHOLE_SECONDS)  # a write that the end caught may have left one to fill
        load.read_all()
        self._judge(load, result)
        if command and command.words[0] == "ingest":
            result.violations += commands.ingest_again(self.project, self.nodes)
        result.whole_after, result.terms = whole - healed, self.nodes.term() - term
        result.left_out = self.nodes.failed_updates() - before
        with VectorStore.at(self.nodes.endpoint()) as store:
            store.drop(collection)
        result.seconds = time.monotonic() - started
        return result

    def _judge(self, load: Workload, result: Result) -> None:
        verdict, figures = check(load.history), load.figures
        result.violations = [f"{one.kind} {one.key}: {one.detail}" for one in verdict.violations]
        result.checked_reads, result.stale, result.late = verdict.reads, verdict.stale, verdict.late
        result.writes, result.failed_writes = len(figures.writes), figures.failed_writes
        result.searches, result.failed_searches = len(figures.reads), figures.failed_reads
        result.slowest_write, result.slowest_search = max(figures.writes), max(figures.reads)
        if verdict.violations:
            self._keep(load.history, result)

    def _keep(self, history: History, result: Result) -> None:
        self.kept.mkdir(parents=True, exist_ok=True)
        history.save(self.kept / f"{result.seed}-{result.run}.json")


def main() -> None:
    """Serve runs until stdin ends. Arguments: folder, server, folder for what is kept."""
    folder, program, kept = map(Path, sys.argv[1:4])
    note_attempts()
    world = World(folder, program, kept)
    world.up()
    _answer({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            _answer(asdict(world.run(**asked)))
        except Exception:
            logs = {instance(number): world.nodes.log(number)[-1500:] for number in world.nodes.numbers}
            _answer({"error": traceback.format_exc(), "logs": logs})
            break
    world.nodes.down()


def _answer(values: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


class Remote:
    """A world in namespaces of its own, as its parent sees it."""

    def __init__(self, folder: Path, program: Path, kept: Path) -> None:
        command = (*network.UNSHARE, sys.executable, "-m", "tests.chaos.world", str(folder), str(program), str(kept))
        self._folder = folder
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "RAGOPS_CHAOS": str(os.getpid())}
        self._errors = (folder / "world.log").open("w")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=environment
        )
        self._read()

    def run(self, **asked: Any) -> Result:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        values = self._read()
        if "error" in values and "run" not in values:
            logs = "\n\n".join(f"{name}: {text}" for name, text in values["logs"].items())
            return Result(asked["number"], asked["seed"], error=f"{values['error']}\n{logs}")
        return Result(**values)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the cluster has ended: {(self._folder / 'world.log').read_text()[-3000:]}")
        return dict(json.loads(line))

    def close(self) -> None:
        """End the cluster; the kernel ends what does not end by itself."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(20)
        self._errors.close()
        group = Path(f"/sys/fs/cgroup/blkio/ragops-chaos-{os.getpid()}")
        if group.exists():
            group.rmdir()


if __name__ == "__main__":
    main()
