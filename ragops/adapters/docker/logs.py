"""The logs of several containers as one, in the order of time."""

from __future__ import annotations

import heapq
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragops.adapters.docker.errors import NotFoundError
from ragops.adapters.docker.stream import split_lines
from ragops.adapters.docker.values import parse_time
from ragops.errors import RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ragops.adapters.docker.client import DockerHost

_AGAIN = 1.0  # seconds between two looks for a container that does not run


@dataclass(frozen=True, order=True)
class LogLine:
    """A line of a log; `stamp` is Docker's time of it, which sorts as it is."""

    stamp: str
    source: str
    text: str


def tail(docker: DockerHost, containers: Mapping[str, str], lines: int) -> list[LogLine]:
    """Return the last `lines` lines of all `containers`, merged by time; `containers` maps labels to names."""
    found = [_read(docker, name, source, lines) for source, name in containers.items()]
    return list(heapq.merge(*found))[-lines:] if lines else []


def follow(docker: DockerHost, containers: Mapping[str, str], last: Sequence[LogLine]) -> Iterator[LogLine]:
    """Yield lines written after `last`, through restarts and replacements of the containers, until the caller stops."""
    lines: queue.SimpleQueue[LogLine] = queue.SimpleQueue()
    newest = {line.source: line.stamp for line in last}
    for source, name in containers.items():
        after = newest.get(source) or _now()
        threading.Thread(target=_follow_one, args=(docker.url, name, source, after, lines), daemon=True).start()
    while True:
        yield lines.get()


def _follow_one(url: str, name: str, source: str, after: str, lines: queue.SimpleQueue[LogLine]) -> None:
    from ragops.adapters.docker.client import DockerHost

    docker = DockerHost(url)  # a stream holds its connection
    while True:
        try:
            for line in _stream(docker, name, source, since=_whole_second(after), follow=True):
                if line.stamp > after:
                    after = line.stamp
                    lines.put(line)
        except RagopsError:
            docker.close()  # the engine is being restarted, or the container replaced
        time.sleep(_AGAIN)


def _read(docker: DockerHost, name: str, source: str, lines: int) -> list[LogLine]:
    try:
        return list(_stream(docker, name, source, tail=lines, follow=False))
    except NotFoundError:
        return []


def _stream(docker: DockerHost, name: str, source: str, **options: Any) -> Iterator[LogLine]:
    with docker.translate_errors(f"read the log of {name}"):
        chunks = docker.api.logs(name, stdout=True, stderr=True, stream=True, timestamps=True, **options)
        yield from (parse(line, source) for line in split_lines(chunks))


def parse(raw: bytes, source: str) -> LogLine:
    """Parse a line of the API: time, a space, text."""
    stamp, _, text = raw.decode(errors="replace").rstrip("\r").partition(" ")
    return LogLine(stamp, source, text)


def _whole_second(stamp: str) -> int:
    """Return the time in whole seconds, the finest that all engines take; older lines are dropped by their stamp."""
    found = parse_time(stamp)
    return int(found.timestamp()) if found else int(time.time())


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
