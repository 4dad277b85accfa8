"""Compare the running containers with what `up` provisioned."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ragops.adapters.docker.inspect import list_members, read_settings
from ragops.runtimes.contract import RUNNING, STOPPED, Difference
from ragops.runtimes.docker.inspect.provisioned import by_instance, services

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.adapters.docker.client import DockerHost
    from ragops.adapters.docker.values import Container
    from ragops.runtimes.docker.inspect.provisioned import Provisioned, Record
    from ragops.runtimes.docker.names import DockerNames

GONE = "is gone"
_LOOP_RESTARTS = 3
_LOOP_SECONDS = 120.0  # one that has run for longer since its last restart has come out of the loop
_KILLED = (0, 137, 143)  # nothing to report: it was stopped, or killed
_SIZES = frozenset({"memory limit"})


def state_of(container: Container | None, restarts_before: int = 0, now: datetime | None = None) -> str:
    """Return `running`, or what is wrong; `restarts_before` are restarts that were no reason to worry."""
    if container is None:
        return "gone"
    state, restarts = container.state, container.state.restarts - restarts_before
    if state.status == "restarting" or (state.running and restarts >= _LOOP_RESTARTS and _is_young(container, now)):
        why = "it needs more memory than its limit" if state.oom_killed else f"it ended with {state.exit_code}"
        return f"restarting in a loop ({restarts} times, {why})"
    if state.running:
        return "unhealthy" if state.health == "unhealthy" else RUNNING
    if state.status == "paused":
        return "paused"
    if state.status == "created":
        return "created and never started"
    if state.oom_killed:
        return f"{STOPPED}: it needed more memory than its limit of {_size(container.limit)}"
    return STOPPED if state.exit_code in _KILLED else f"{STOPPED}: it ended with {state.exit_code}"


def find_drift(docker: DockerHost, names: DockerNames, record: Record) -> Iterator[Difference]:
    """Return what is not as the last `up` left it: containers, their settings, volumes, the network and its members."""
    found = by_instance(services(docker, names))
    for provisioned in record.containers:
        yield from _differences_of(docker, names, provisioned, found.get(provisioned.instance))
    yield from _network(docker, names, record)


def _differences_of(
    docker: DockerHost, names: DockerNames, provisioned: Provisioned, found: Container | None
) -> Iterator[Difference]:
    instance = provisioned.instance
    for volume in provisioned.volumes:
        if docker.volume(volume) is None:
            yield Difference(volume.removeprefix(f"{names.network}-"), "", GONE)
    if found is None:
        stranger = docker.container(names.container(instance))
        taken = f"is gone; a container that ragops did not make has its name ({stranger.id[:12]})" if stranger else GONE
        yield Difference(instance, RUNNING, taken)
    elif (state := state_of(found, provisioned.restarts)) != RUNNING:
        yield Difference(instance, RUNNING, state)
    elif found.id != provisioned.id:
        yield Difference(instance, "", _replaced(docker, provisioned, found))
    else:
        yield from _changed(docker, provisioned)


def _changed(docker: DockerHost, provisioned: Provisioned) -> Iterator[Difference]:
    now = read_settings(docker, provisioned.id)
    for name, before in provisioned.settings.items():
        if name in now and now[name] != before:
            old, new = _shown(name, before), _shown(name, now[name])
            yield Difference(provisioned.instance, old, f"{name} changed by hand: {old} → {new}")


def _replaced(docker: DockerHost, provisioned: Provisioned, found: Container) -> str:
    now = read_settings(docker, found.id)
    other = [name for name, before in provisioned.settings.items() if name in now and now[name] != before]
    return "is another container than was provisioned" + (f", with another {', '.join(other)}" if other else "")


def _network(docker: DockerHost, names: DockerNames, record: Record) -> Iterator[Difference]:
    if not record.network:
        return
    inside = list_members(docker, record.network)
    if inside is None:
        yield Difference("network", "", GONE)
        return
    ours = {container.id for container in docker.containers(names.labels())}
    for ident, name in sorted(inside.items()):
        if ident not in ours:
            what = f"the container {name}, which ragops did not make, is in it and reaches every service directly"
            yield Difference("network", "", what)


def uptime(container: Container, now: datetime | None = None) -> float:
    """Return the seconds since it was started last, 0 if it does not run."""
    if container.state.started is None or not container.state.running:
        return 0.0
    return max(0.0, ((now or datetime.now(tz=UTC)) - container.state.started).total_seconds())


def _is_young(container: Container, now: datetime | None) -> bool:
    return uptime(container, now) < _LOOP_SECONDS


def _shown(name: str, value: str) -> str:
    if name == "environment":
        return ", ".join(entry.partition("=")[0] for entry in value.split(", "))
    return _size(int(value)) if name in _SIZES and value.isdecimal() else value or "none"


def _size(size: int) -> str:
    return f"{size / 2**20:.0f} MiB" if size else "none"
