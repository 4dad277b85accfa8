"""Engines that hold bytes: what lies outside of an operation, so that its steps can be watched and stopped."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ragops.errors import IntegrityError
from ragops.operations.session import Platform
from ragops.services.contract import Check, Endpoint, Part, ProbeResult, Status
from ragops.services.qdrant.service import QdrantService
from ragops.services.redis import RedisService
from ragops.services.timescaledb import TimescaleService

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ragops.services.contract import PartWriter
    from ragops.services.control import Control

CLASSES: dict[str, Any] = {"timescaledb": TimescaleService, "redis": RedisService, "qdrant": QdrantService}
ORDER = ("timescaledb", "redis", "qdrant")


def _nothing(_what: str) -> None: ...


class Output:
    """What an engine writes, as a stream; `at_half` is called when half of it has been read."""

    def __init__(self, content: bytes, at_half: Callable[[], object] = lambda: None) -> None:
        self._rest, self._half, self._at_half = content, len(content) // 2, at_half

    def read(self, size: int, /) -> bytes:
        if len(self._rest) <= self._half:
            self._half = -1
            self._at_half()
        limit = min(size, len(self._rest) - self._half) if self._half >= 0 else size
        block, self._rest = self._rest[:limit], self._rest[limit:]
        return block


@dataclass
class FakeEngine:
    """`BackupEngine` of files by name. `at` hears every step, in the thread that does it, and may wait or fail.

    Steps are `before`, `begun`, `dump NAME`, `read NAME`, `preflight`, `restore`; a part whose name begins with
    `grown` has the step `half NAME` when half of it is stored.
    """

    name: str
    live: dict[str, bytes]
    at: Callable[[str], None] = _nothing
    steps: list[str] = field(default_factory=list)

    def _step(self, what: str) -> None:
        self.steps.append(what)
        self.at(what)

    def dump(self, endpoint: Endpoint, control: Control, writer: PartWriter) -> None:
        del endpoint, control
        self._step("before")
        instant = datetime.now(tz=UTC)
        writer.snapshot_fixed()
        self._step("begun")
        writer.run_all([partial(self._dump_one, writer, name, instant) for name in sorted(self.live)])

    def _dump_one(self, writer: PartWriter, name: str, instant: datetime) -> None:
        self._step(f"dump {name}")
        content = self.live[name]
        output = Output(content, lambda: self._step(f"half {name}") if name.startswith("grown") else None)

        def read_back() -> Part:
            self._step(f"read {name}")
            return Part(name, instant, {f"{name}.bytes": len(content)}, {"fake": "1.0"})

        writer.store(name, output, read_back)

    def verify(self, folder: Path, part: Part, control: Control) -> None:
        del control
        self._step(f"verify {part.name}")
        if len((folder / part.name).read_bytes()) != part.counts[f"{part.name}.bytes"]:
            raise IntegrityError("counts_differ", f"{part.name} holds other counts")

    def preflight(self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part]) -> None:
        del endpoint, control
        self._step("preflight")
        assert {path.name for path in folder.iterdir()} == {part.name for part in parts}

    def restore(self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part]) -> tuple[str, ...]:
        del endpoint, control
        self._step("restore")
        self.live = {part.name: (folder / part.name).read_bytes() for part in parts}
        return ()

    def counts(self, endpoint: Endpoint) -> Mapping[str, int]:
        del endpoint
        return {f"{name}.bytes": len(content) for name, content in self.live.items()}

    def probe(self, endpoint: Endpoint, timeout: float) -> ProbeResult:
        del endpoint, timeout
        return ProbeResult(self.name, (Check("reachable", Status.OK, "it answers"),), 0.0)


def engines(sizes: Mapping[str, Mapping[str, int]] | None = None) -> dict[str, FakeEngine]:
    """An engine for each service with data of its own, of two parts each if nothing else is said."""
    found = {}
    for service in ORDER:
        wanted = (sizes or {}).get(service, {"one": 1000, "two": 2000})
        found[service] = FakeEngine(
            service, {name: f"{service} {name} ".encode() * size for name, size in wanted.items()}
        )
    return found


@contextmanager
def plugged(found: Mapping[str, FakeEngine]) -> Iterator[None]:
    """Have the services answer with these engines."""
    before = {name: (cls.backup, cls.probe) for name, cls in CLASSES.items()}
    for name, engine in found.items():
        CLASSES[name].backup = lambda _self, engine=engine: engine
        CLASSES[name].probe = lambda _self, endpoint, timeout, engine=engine: engine.probe(endpoint, timeout)
    try:
        yield
    finally:
        for name, (backup, probe) in before.items():
            CLASSES[name].backup, CLASSES[name].probe = backup, probe


def platform_of(services: Sequence[str] = ORDER, **named: Any) -> Platform:
    """A platform of services that no operation speaks to but through their engines."""
    endpoints = {name: Endpoint(name, "fake", "1.0", "embedded", "127.0.0.1", 1) for name in services}
    return Platform("p", "embedded", endpoints, lambda _endpoint: None, **named)  # type: ignore[arg-type,return-value]


class Meeting:
    """A step at which `count` threads have to be at once for any to go on."""

    def __init__(self, count: int) -> None:
        self._barrier = threading.Barrier(count)

    def __call__(self) -> None:
        self._barrier.wait(20)
