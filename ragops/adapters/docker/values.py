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
class Engine:
    """The Docker engine: its versions, its machine and its set-up.

    `root_dir` is where it stores its data. `warnings` are its own; `security` such as seccomp, rootless, userns.
    """

    version: str
    api: str
    os: str
    architecture: str
    root_dir: str
    storage_driver: str
    security: tuple[str, ...]
    warnings: tuple[str, ...]
    memory_limit: bool
    name: str


@dataclass(frozen=True)
class Image:
    """An image that is here; `size` in bytes."""

    id: str
    digests: tuple[str, ...]
    size: int
    labels: Mapping[str, str]


@dataclass(frozen=True)
class State:
    """The state of a container: `status` is one of Docker's (created, running, paused, restarting, exited, dead).

    `health` is empty if there is no health check, else starting, healthy or unhealthy; `restarts` counts those by
    the restart policy.
    """

    status: str
    health: str = ""
    exit_code: int = 0
    oom_killed: bool = False
    restarts: int = 0
    started: datetime | None = None
    finished: datetime | None = None
    error: str = ""

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
    user: str = ""
    created: datetime | None = None
    limit: int = 0
    check: tuple[str, ...] = ()
    stop_timeout: int = 0
    environment: tuple[str, ...] = ()


@dataclass(frozen=True)
class Volume:
    """A volume."""

    name: str
    labels: Mapping[str, str]


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
    def error_text(self) -> str:
        """Return its stderr, or else its stdout, stripped: the text of an error."""
        return (self.stderr or self.stdout).decode(errors="replace").strip()


def engine(version: Mapping[str, Any], info: Mapping[str, Any]) -> Engine:
    """From /version and /info."""
    named = (option.partition(",")[0].removeprefix("name=") for option in info.get("SecurityOptions") or ())
    return Engine(
        version=version["Version"],
        api=version["ApiVersion"],
        os=info.get("OperatingSystem", version.get("Os", "")),
        architecture=version.get("Arch", ""),
        root_dir=info.get("DockerRootDir", ""),
        storage_driver=info.get("Driver", ""),
        security=tuple(named),
        warnings=tuple(info.get("Warnings") or ()),
        memory_limit=bool(info.get("MemoryLimit", True)),
        name=info.get("Name", ""),
    )


def image(raw: Mapping[str, Any]) -> Image:
    """From an image's inspection."""
    labels = (raw.get("Config") or {}).get("Labels")
    return Image(raw["Id"], tuple(raw.get("RepoDigests") or ()), int(raw.get("Size") or 0), dict(labels or {}))


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
        user=config.get("User") or "",
        created=parse_time(raw.get("Created", "")),
        limit=int(host.get("Memory") or 0),
        check=_check(config.get("Healthcheck") or {}),
        stop_timeout=int(config.get("StopTimeout") or 0),
        environment=tuple(config.get("Env") or ()),
    )


def volume(raw: Mapping[str, Any]) -> Volume:
    """From a volume's inspection."""
    return Volume(raw["Name"], dict(raw.get("Labels") or {}))


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
    health = str((state.get("Health") or {}).get("Status") or "")
    return State(
        status=state["Status"],
        health="" if health == "none" else health,
        exit_code=int(state.get("ExitCode") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        restarts=int(raw.get("RestartCount") or 0),
        started=parse_time(state.get("StartedAt", "")),
        finished=parse_time(state.get("FinishedAt", "")),
        error=state.get("Error") or "",
    )


def _check(raw: Mapping[str, Any]) -> tuple[str, ...]:
    kind, *command = raw.get("Test") or ["NONE"]
    return ("/bin/sh", "-c", *command) if kind == "CMD-SHELL" else tuple(command) if kind == "CMD" else ()


def _mount(raw: Mapping[str, Any]) -> Mount:
    return Mount(raw["Type"], raw.get("Name") or raw.get("Source") or "", raw["Destination"], not raw.get("RW", True))


def _ports(host: Mapping[str, Any]) -> tuple[PublishedPort, ...]:
    """Return the requested ports: a stopped container has none in its network settings."""
    return tuple(
        PublishedPort(int(inner.partition("/")[0]), bound.get("HostIp") or "0.0.0.0", int(bound.get("HostPort") or 0))  # noqa: S104 - Docker's own default, reported
        for inner, bindings in sorted((host.get("PortBindings") or {}).items())
        for bound in bindings or ()
    )
