"""Frozen values of Docker's objects."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNNING = "running"
HEALTHY = "healthy"


@dataclass(frozen=True)
class EngineVersion:
    """The Docker engine: its version, its API version, where it stores its data and how."""

    version: str
    api: str
    os: str
    architecture: str
    storage_driver: str
    root_dir: str


@dataclass(frozen=True)
class Image:
    """An image that is here; `size` in bytes, `user` as its author set it, `created` in UTC."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    created: datetime | None
    size: int
    user: str
    labels: Mapping[str, str]
    environment: tuple[str, ...]
    command: tuple[str, ...]


@dataclass(frozen=True)
class State:
    """The state of a container: `status` is one of Docker's (created, running, paused, restarting, exited, dead).

    `health` is empty if there is no health check, else starting, healthy or unhealthy; `restarts` counts those by
    the restart policy; `pid` is 0 if it does not run.
    """

    status: str
    health: str = ""
    exit_code: int = 0
    oom_killed: bool = False
    restarts: int = 0
    started: datetime | None = None
    finished: datetime | None = None
    error: str = ""
    pid: int = 0

    @property
    def running(self) -> bool:
        """Return whether it runs, healthy or not."""
        return self.status == RUNNING


@dataclass(frozen=True)
class Mount:
    """Something mounted at `target`: a volume by name, or a folder of this machine by path (`kind` bind)."""

    kind: str
    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class PublishedPort:
    """A port of the container that this machine listens for."""

    inner: int
    host: str
    port: int
    protocol: str = "tcp"


@dataclass(frozen=True)
class Container:
    """A container as it was made and as it is now; `image_id` is what it runs, `image` the name it was made by.

    `check` is the command of its health check, empty without one; `limit` of its memory in bytes, 0 without one.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    image_id: str
    image: str
    state: State
    mounts: tuple[Mount, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    networks: tuple[str, ...] = ()
    user: str = ""
    created: datetime | None = None
    limit: int = 0
    command: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    stop_timeout: int = 0
    environment: tuple[str, ...] = ()


@dataclass(frozen=True)
class Volume:
    """A volume; `mountpoint` is its folder on the engine's machine."""

    name: str
    labels: Mapping[str, str]
    mountpoint: str
    created: datetime | None = None


@dataclass(frozen=True)
class Network:
    """A network."""

    id: str
    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class ExecResult:
    """The exit code of a command inside a container, and the kept part of its output."""

    code: int
    stdout: bytes = b""
    stderr: bytes = b""

    @property
    def text(self) -> str:
        """Return its output as text."""
        return self.stdout.decode(errors="replace")

    @property
    def said(self) -> str:
        """Return its stderr, or else its stdout, stripped: the text of an error."""
        return (self.stderr or self.stdout).decode(errors="replace").strip()


def engine_version(version: Mapping[str, Any], info: Mapping[str, Any]) -> EngineVersion:
    """From /version and /info."""
    return EngineVersion(
        version["Version"], version["ApiVersion"], info.get("OperatingSystem", version.get("Os", "")),
        version.get("Arch", ""), info.get("Driver", ""), info.get("DockerRootDir", ""),
    )  # fmt: skip


def image(raw: Mapping[str, Any]) -> Image:
    """From an image's inspection."""
    config = raw.get("Config") or {}
    return Image(
        id=raw["Id"],
        tags=tuple(raw.get("RepoTags") or ()),
        digests=tuple(raw.get("RepoDigests") or ()),
        created=parse_time(raw.get("Created", "")),
        size=int(raw.get("Size") or 0),
        user=config.get("User") or "",
        labels=dict(config.get("Labels") or {}),
        environment=tuple(config.get("Env") or ()),
        command=tuple(config.get("Cmd") or ()),
    )


def container(raw: Mapping[str, Any]) -> Container:
    """From a container's inspection."""
    config, host = raw["Config"], raw.get("HostConfig") or {}
    return Container(
        id=raw["Id"],
        name=raw["Name"].lstrip("/"),
        labels=dict(config.get("Labels") or {}),
        image_id=raw["Image"],
        image=config.get("Image") or "",
        state=_state(raw),
        mounts=tuple(_mount(mount) for mount in raw.get("Mounts") or ()),
        ports=_ports(host),
        networks=tuple(sorted((raw.get("NetworkSettings") or {}).get("Networks") or {})),
        user=config.get("User") or "",
        created=parse_time(raw.get("Created", "")),
        limit=int(host.get("Memory") or 0),
        command=tuple(config.get("Cmd") or ()),
        check=_check(config.get("Healthcheck") or {}),
        stop_timeout=int(config.get("StopTimeout") or 0),
        environment=tuple(config.get("Env") or ()),
    )


def volume(raw: Mapping[str, Any]) -> Volume:
    """From a volume's inspection."""
    created = parse_time(raw.get("CreatedAt", ""))
    return Volume(raw["Name"], dict(raw.get("Labels") or {}), raw.get("Mountpoint", ""), created)


def network(raw: Mapping[str, Any]) -> Network:
    """From a network's inspection."""
    return Network(raw["Id"], raw["Name"], dict(raw.get("Labels") or {}))


def memory_used(stats: Mapping[str, Any]) -> int:
    """Bytes that a container really needs: what the kernel could drop at once is not counted."""
    memory = stats.get("memory_stats") or {}
    details = memory.get("stats") or {}
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    return max(0, int(memory.get("usage", 0)) - int(cache))


def parse_time(text: str) -> datetime | None:
    """Parse a time as Docker writes it (nanoseconds, any zone); None for its year 1, which means never."""
    if not text or text.startswith("0001-"):
        return None
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).astimezone(UTC)
    except ValueError:
        return None


def _state(raw: Mapping[str, Any]) -> State:
    state = raw["State"]
    return State(
        status=state["Status"],
        health=_health(state),
        exit_code=int(state.get("ExitCode") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        restarts=int(raw.get("RestartCount") or 0),
        started=parse_time(state.get("StartedAt", "")),
        finished=parse_time(state.get("FinishedAt", "")),
        error=state.get("Error") or "",
        pid=int(state.get("Pid") or 0),
    )


def _health(state: Mapping[str, Any]) -> str:
    health = str((state.get("Health") or {}).get("Status") or "")
    return "" if health == "none" else health


def _check(raw: Mapping[str, Any]) -> tuple[str, ...]:
    kind, *command = raw.get("Test") or ["NONE"]
    return ("/bin/sh", "-c", *command) if kind == "CMD-SHELL" else tuple(command) if kind == "CMD" else ()


def _mount(raw: Mapping[str, Any]) -> Mount:
    return Mount(raw["Type"], raw.get("Name") or raw.get("Source") or "", raw["Destination"], not raw.get("RW", True))


def _ports(host: Mapping[str, Any]) -> tuple[PublishedPort, ...]:
    """Return the requested ports: a stopped container has none in its network settings."""
    found = []
    for inner, bindings in sorted((host.get("PortBindings") or {}).items()):
        number, _, protocol = inner.partition("/")
        for binding in bindings or ():
            port = int(binding.get("HostPort") or 0)
            found.append(PublishedPort(int(number), binding.get("HostIp") or "0.0.0.0", port, protocol or "tcp"))  # noqa: S104 - Docker's own default, reported
    return tuple(found)
