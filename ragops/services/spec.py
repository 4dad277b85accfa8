"""The specification of a service (`ServiceSpec`), from which a runtime starts it, and the runtime's side (`Layout`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ragops.services.contract.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragops.services.contract import Capability, Login, Node


@dataclass(frozen=True)
class ConfigFile:
    """A rendered file below the service's configuration folder; `secret` content never reaches a plan or a log."""

    name: str
    content: str
    secret: bool = False


@dataclass(frozen=True)
class Bind:
    """A folder of this machine that a container sees read-only, by its path there and in the container."""

    source: str
    target: str


@dataclass(frozen=True)
class TcpCheck:
    """Healthy if the port accepts a connection and the answer to `send` starts with one of `expect`."""

    port: int
    send: str = ""
    expect: tuple[str, ...] = ()
    kind: Literal["tcp"] = "tcp"


@dataclass(frozen=True)
class HttpCheck:
    """Healthy if a GET of `path` is answered with 200."""

    port: int
    path: str = "/"
    kind: Literal["http"] = "http"


@dataclass(frozen=True)
class ExecCheck:
    """Healthy if `command`, run next to the service, exits with 0."""

    command: tuple[str, ...]
    kind: Literal["exec"] = "exec"


HealthCheck = TcpCheck | HttpCheck | ExecCheck


@dataclass(frozen=True)
class InitStep:
    """The command that fills an empty data folder, once: in a folder next to it, which one rename puts in its place.

    `{data}` in `command` stands for the path of that folder; `marker` is a file that every initialised folder has.
    """

    command: tuple[str, ...]
    marker: str


@dataclass(frozen=True)
class ImageSpec:
    """The container image of a service, and the folders inside it.

    `mount` is the image's folder for data, where the volume is mounted (empty: it stores none), `user` the name or uid
    that it runs as. `writable` are folders for temporary files; they must exist in the image, or they belong to root
    from the second start on. All else is read-only. `hot_dir` is the folder of the files that the service reads again
    while it runs, a read-only volume of their own; empty if there are none.
    """

    reference: str
    mount: str
    user: str
    config_dir: str = "/etc/ragops"
    writable: tuple[str, ...] = ()
    hot_dir: str = ""


@dataclass(frozen=True)
class ServiceSpec:
    """The specification of one instance. Paths inside `command` and files come from the runtime's `Layout`.

    `lock_files` are files that a killed engine leaves among its data, and that can stop its next start. `guard` is a
    POSIX shell script that runs in the data folder before a start: with an exit code other than 0 the service is not
    started, and the output of the script is added to its log. Times in seconds.

    `ports` are those that the service itself listens on. `hot` are the files of the layout's `hot_dir`: a change of
    them restarts nothing. The other fields are for runtimes that start images: `instance` is the name of one of several
    nodes, `image` its image, `publish` the ports of this machine by the same names (a port without one is not
    published), `memory` the limit in bytes (0: none), `shm` the size of /dev/shm in bytes (0: the runtime's default),
    `binds` folders of this machine that it may read.
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
    binds: tuple[Bind, ...] = ()

    @property
    def name(self) -> str:
        """Return the name of the instance: that of the service if there is only one."""
        return self.instance or self.service


class Runtime(Protocol):
    """The part of a runtime that components use: it declares the resources of a ServiceSpec."""

    name: str
    capabilities: frozenset[Capability]

    def layout(self, instance: str, image: ImageSpec | None = None) -> Layout:
        """Return the folders and addresses of an instance."""

    def runtime_id(self, instance: str) -> str:
        """Return the id by which day-2 operations find the instance: a run folder, the name of a container."""

    def run(self, spec: ServiceSpec, parent: Any) -> Any:
        """Declare the resources of `spec` below the component `parent`."""


def local_endpoint(
    service: str,
    runtime: Runtime,
    layout: Layout,
    *,
    engine: str,
    version: str,
    port: int,
    inner_port: int,
    instance: str = "",
    options: Mapping[str, str] | None = None,
    logins: Mapping[str, Login] | None = None,
    nodes: tuple[Node, ...] = (),
) -> Endpoint:
    """Return the endpoint of a service that `runtime` starts on this machine.

    `inner_port` is its port in a network of its own, `instance` the name of its first node if it has several.
    """
    return Endpoint(
        service=service,
        engine=engine,
        version=version,
        runtime=runtime.name,
        host="127.0.0.1",
        port=port,
        runtime_id=runtime.runtime_id(instance or service),
        options=options or {},
        logins=logins or {},
        capabilities=runtime.capabilities,
        inner_host=layout.internal_host,
        inner_port=inner_port if layout.internal_host else 0,
        nodes=nodes,
    )


class Distribution(StrEnum):
    """The form in which the programs of services are installed on a machine."""

    WHEEL = "wheel"
    IMAGE = "image"


class GatewayEngine(StrEnum):
    """The programs that can be the gateway."""

    ENVOY = "envoy"
    KONG = "kong"


@dataclass(frozen=True, kw_only=True)
class RuntimeTraits:
    """The facts about a runtime that services depend on.

    `shares_filesystem`: services can open the paths of this machine, not only the files in their own folders.
    """

    distribution: Distribution = Distribution.WHEEL
    shares_filesystem: bool = True
    gateway_engine: GatewayEngine = GatewayEngine.ENVOY

    @property
    def uses_images(self) -> bool:
        """Return whether the programs of services come from container images."""
        return self.distribution is Distribution.IMAGE


@dataclass(frozen=True)
class Layout(RuntimeTraits):
    """The folders of a service, by the paths that are valid inside it, and the address that it listens on.

    `internal_host` is the host name by which other services connect to its own port; empty if they connect to the
    published port, as this machine does. `hot_dir` is for files whose change restarts nothing; empty if there is none.
    """

    config_dir: str
    data_dir: str
    listen: str
    internal_host: str = ""
    hot_dir: str = ""

    @property
    def changing_dir(self) -> str:
        """Return the folder of the files that change while the service runs."""
        return self.hot_dir or self.config_dir

    def split(self, *changing: ConfigFile) -> tuple[tuple[ConfigFile, ...], tuple[ConfigFile, ...]]:
        """Return the files of `changing_dir` as `files` and `hot` of a ServiceSpec; one of the two is empty."""
        return ((), changing) if self.hot_dir else (changing, ())

    def port(self, published: int, inner: int) -> int:
        """Return the port that the service listens on: `inner` in a network of its own, else the published one."""
        return inner if self.internal_host else published
