"""A service as a runtime sees it: what to start, with which files, ports and checks, and where it will find them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.contract import Capability


@dataclass(frozen=True)
class ConfigFile:
    """A rendered file below the service's configuration folder; `secret` content never reaches a plan or a log."""

    name: str
    content: str
    secret: bool = False


@dataclass(frozen=True)
class TcpCheck:
    """Healthy when the port accepts and, after `send`, the answer starts with one of `expect`."""

    port: int
    send: str = ""
    expect: tuple[str, ...] = ()


@dataclass(frozen=True)
class HttpCheck:
    """Healthy when a GET of `path` answers 200."""

    port: int
    path: str = "/"


@dataclass(frozen=True)
class ExecCheck:
    """Healthy when `command`, run next to the service, exits 0."""

    command: tuple[str, ...]


HealthCheck = TcpCheck | HttpCheck | ExecCheck


@dataclass(frozen=True)
class InitStep:
    """Fills an empty data folder once: runs in a folder next to it, which then takes its place in one rename.

    `command` has `{data}` where the folder's path goes; `marker` is the file that an initialised folder has.
    """

    command: tuple[str, ...]
    marker: str


@dataclass(frozen=True)
class ImageSpec:
    """The container image of a service and what is known of its inside.

    `mount` is the image's own folder for data (a volume lies there; empty: it keeps none), `user` the name or uid that
    it runs as. `writable` are folders of the image that have to take files besides while it runs and may lose them (one
    that the image does not have would belong to root from the second start on); all else is read-only. In `hot_dir`, if
    it is named, lie the files that the service takes over while it runs: a volume of their own, read-only for it.
    """

    reference: str
    mount: str
    user: str
    config_dir: str = "/etc/ragops"
    writable: tuple[str, ...] = ()
    hot_dir: str = ""


@dataclass(frozen=True)
class ServiceSpec:
    """A service as a runtime sees it. Paths inside `command` and files come from the runtime's `Layout`.

    `lock_files` are what the engine leaves among its data when it is killed and may trip over at its next start.
    `guard` is a POSIX shell script that runs in the folder of the data before a start: if it ends with another code
    than 0 the service is not started, and its log gets what it printed. Times in seconds.

    `ports` are those that the service itself listens on. What follows is for runtimes that start images: `instance`
    names one of several nodes, `image` is what it is made from, `publish` the ports of this machine by the same names
    (those that are missing stay inside), `memory` the limit in bytes (0: none), `shm` the size of /dev/shm in bytes
    (0: the runtime's default). `hot` are the files of the layout's `hot_dir`, whose change restarts nothing.
    """

    service: str
    version: str
    command: tuple[str, ...]
    files: tuple[ConfigFile, ...]
    ports: Mapping[str, int]
    health: HealthCheck
    environment: Mapping[str, str] = field(default_factory=dict)
    init: InitStep | None = None
    lock_files: tuple[str, ...] = ()
    stop_signal: str = "SIGTERM"
    stop_grace: float = 10.0
    start_timeout: float = 60.0
    needs_unprivileged_user: bool = False
    instance: str = ""
    image: ImageSpec | None = None
    publish: Mapping[str, int] = field(default_factory=dict)
    memory: int = 0
    shm: int = 0
    hot: tuple[ConfigFile, ...] = ()
    guard: str = ""

    @property
    def name(self) -> str:
        """The instance's name: the service's own if there is only one."""
        return self.instance or self.service


class Runtime(Protocol):
    """How a ServiceSpec becomes something that runs; components see no more of a runtime than this."""

    name: str
    capabilities: frozenset[Capability]

    def layout(self, instance: str, image: ImageSpec | None = None) -> Layout:
        """Where the instance will find its files, what it is to listen on, and what the others reach it by."""

    def runtime_id(self, instance: str) -> str:
        """Return how day-2 operations find the instance."""

    def run(self, spec: ServiceSpec, parent: Any) -> Any:
        """Declare the resources of `spec` below the component `parent`."""


class Distribution(StrEnum):
    """How the programs of services come to a machine."""

    WHEEL = "wheel"
    IMAGE = "image"


class GatewayEngine(StrEnum):
    """The programs that can be the gateway."""

    ENVOY = "envoy"
    KONG = "kong"


@dataclass(frozen=True, kw_only=True)
class RuntimeTraits:
    """The facts about a runtime that services depend on.

    With `shares_filesystem` services see the paths of this machine, else only what the runtime puts into their folders.
    """

    distribution: Distribution = Distribution.WHEEL
    shares_filesystem: bool = True
    gateway_engine: GatewayEngine = GatewayEngine.ENVOY

    @property
    def uses_images(self) -> bool:
        """Whether the programs of services are those of container images, which settings may name."""
        return self.distribution is Distribution.IMAGE


@dataclass(frozen=True)
class Layout(RuntimeTraits):
    """Where a runtime puts a service: folders as the service itself sees them, and the address it listens on.

    `internal_host` is the name that the other services reach it by on a port of its own; empty if they use the
    published port, as this machine does. `hot_dir` is for files whose change restarts nothing; empty if there is none.
    """

    config_dir: str
    data_dir: str
    listen: str
    internal_host: str = ""
    hot_dir: str = ""

    @property
    def changing_dir(self) -> str:
        """The folder of files that change while the service runs."""
        return self.hot_dir or self.config_dir

    def split(self, *changing: ConfigFile) -> tuple[tuple[ConfigFile, ...], tuple[ConfigFile, ...]]:
        """Files of `changing_dir` as what a ServiceSpec has for them: `files` and `hot`, one of them empty."""
        return ((), changing) if self.hot_dir else (changing, ())

    def port(self, published: int, inner: int) -> int:
        """Return the port that the service listens on: `inner` in a network of its own, else the published one."""
        return inner if self.internal_host else published
