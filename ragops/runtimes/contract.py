"""The day-2 side of a runtime: what an environment has on this machine, and what can be done to it.

Operations use this protocol and name no runtime: a new runtime is a folder with a `RuntimeHost`, and an entry in
`registry.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from ragops.adapters.progress import Progress
    from ragops.runtimes.facts import RuntimeFacts
    from ragops.services.contract import Check, Endpoint
    from ragops.services.control import Control
    from ragops.services.gateway.component import GatewayRuntime
    from ragops.services.gateway.configuration import GatewayInputs
    from ragops.services.spec import ConfigFile

RUNNING = "running"
STOPPED = "stopped"


@dataclass(frozen=True)
class Instance:
    """One process or container as it is now; `uptime` in seconds and `memory` in bytes are 0 if it does not run.

    `state` is `running`, or a text about what is wrong; `ident` is its id in the runtime (a pid, a container's id).
    """

    service: str
    name: str
    state: str
    address: str
    ident: str = ""
    image: str = ""
    uptime: float = 0.0
    memory: int = 0


@dataclass(frozen=True)
class Difference:
    """Something that is not as it was provisioned: resource, its state before, its state now.

    `service` is the service whose own probe has to show it, because its answers do not; empty if that is the runtime's.
    """

    resource: str
    before: str
    now: str
    service: str = ""


@dataclass(frozen=True)
class ImageState:
    """The image of one service; `id`, `digest` and `size` (bytes) are empty if it is not here.

    `state` is `here`, `missing`, or a text about what the next `ragops images pull` or `build` would change.
    """

    service: str
    reference: str
    state: str
    id: str = ""
    digest: str = ""
    size: int = 0


@dataclass(frozen=True)
class LogLine:
    """A line of a log: the instance that wrote it, and the runtime's time of it, None if it has none."""

    instance: str
    text: str
    time: datetime | None = None


@dataclass(frozen=True)
class LogTail:
    """The end of a log, oldest line first; `follow` yields what is written after it, until the caller stops."""

    lines: tuple[LogLine, ...]
    follow: Callable[[], Iterator[LogLine]]


@dataclass(frozen=True)
class Judgement:
    """What a checker of files came to, and the lines that it printed, without the folder of the files."""

    good: bool
    lines: tuple[str, ...]

    @classmethod
    def from_output(cls, code: int, output: str, folder: str) -> Judgement:
        """Return what a checker came to, by its exit code and all that it printed of files in `folder`."""
        lines = output.replace(f"{folder}/", "").splitlines()
        return cls(code == 0, tuple(line for line in lines if line.strip()))


@dataclass(frozen=True)
class ResourceDescription:
    """How plans and drift show one resource of the engine.

    `instance` is the name that it is shown by. `hidden` are properties that no plan shows, `of_running` those that
    differ only because the instance does not run.
    """

    instance: str
    hidden: frozenset[str] = frozenset()
    of_running: frozenset[str] = frozenset()


class RuntimeImages(Protocol):
    """The container images of one environment."""

    def list(self) -> tuple[ImageState, ...]:
        """Return every image that the environment uses, here or missing."""

    def pull(self, on_progress: Callable[[Progress], None], *, renew: bool) -> tuple[ImageState, ...]:
        """Fetch what is missing, all from registries if `renew`, and use what the references mean now."""

    def build(self, on_progress: Callable[[Progress], None]) -> tuple[ImageState, ...]:
        """Build the images that are made from this package, unless they are current, and use them."""

    def save(self, target: Path) -> tuple[ImageState, ...]:
        """Write every image into one tar file."""

    def load(self, source: Path) -> tuple[ImageState, ...]:
        """Read the images of a tar file, and use those that the environment names."""


class RuntimeHost(Protocol):
    """One environment on this machine, as operations see it."""

    facts: RuntimeFacts

    def runtime(self) -> GatewayRuntime:
        """Return what components hand their specifications to."""

    def gateway(self) -> GatewayAdapter:
        """Return what renders, reads and validates the gateway's hot configuration."""

    def refuse_what_cannot_start(self) -> None:
        """Raise for whatever would make `up` fail half-way: a missing engine, a port that is taken, a full disk."""

    def prepare_up(self, on_progress: Callable[[Progress], None], known_ids: Callable[[], Collection[str]]) -> None:
        """Prepare what the engine cannot: fetch images, clear what an interrupted run left, start what is stopped.

        `known_ids` returns the ids in the engine's state; it is called only if something is in doubt. Idempotent;
        runs under the lock.
        """

    def will_restart(self) -> Collection[str]:
        """Return the instances that `prepare_up` would start, so that the engine never sees them stopped."""

    def record_provisioned(self) -> None:
        """Store what `up` provisioned, for `drift` to compare with."""

    def engine_variables(self) -> Mapping[str, str]:
        """Return the environment variables that have the Pulumi engine and its providers act on this very machine."""

    def image_pins(self) -> Mapping[str, str]:
        """Return the id of the image that each reference means here; empty if services run from no images."""

    def drift(self) -> tuple[Difference, ...]:
        """Return what is not as it was provisioned and the engine's own refresh does not see."""

    def describe_resource(self, urn: str) -> ResourceDescription:
        """Return how plans and drift show the resource of the engine with this URN."""

    def resources_of(self, instance: str) -> tuple[str, ...]:
        """Return the names of the engine's resources that one instance is made of, without its data."""

    def control(self, endpoint: Endpoint, instance: str = "") -> Control:
        """Return what restores and repairs may do to the service, or to one `instance` of it."""

    def observe(self, endpoint: Endpoint) -> tuple[Instance, ...]:
        """Return every instance of the service as it is now."""

    def containers(self) -> tuple[Instance, ...]:
        """Return the containers of the last `up`, each with its whole id; none of a runtime without containers."""

    def is_running(self, service: str) -> bool:
        """Whether anything of the service runs, provisioned whole or not."""

    def has_data(self, service: str) -> bool:
        """Whether the service has data here that are this project's."""

    def lacks_data(self, service: str) -> bool:
        """Whether no instance of the service has any data here, of this project or of another: it would start empty."""

    @property
    def data_location(self) -> str:
        """The place of the services' data, for a message."""

    def data_file(self, service: str, instance: str, name: str) -> str | None:
        """Return the text of the file `name` in the data of an instance, running or not; None without it."""

    def list_data(self) -> tuple[str, ...]:
        """Return the names of the folders or volumes of data."""

    def purge_data(self) -> None:
        """Remove all of `list_data()` for good. Raises RagopsError (data_in_use) before anything is removed."""

    def stop_orphans(self) -> tuple[str, ...]:
        """Stop what runs without being in the engine's state; returns the services' names."""

    def read_log(self, service: str, lines: int) -> LogTail | None:
        """Return the last `lines` lines of its log, of all its instances together; None if it never ran."""

    def rotate_logs(self) -> None:
        """Bound the logs, unless the runtime does that by itself."""

    def check_files(self, image: str, command: Sequence[str], files: Sequence[ConfigFile]) -> Judgement | None:
        """Return what a program of an image, here if there are no images, reports of files, the first one named to it.

        They lie in a folder of its own, gone with it. None if the program is not here. Raises RagopsError.
        """

    def doctor_checks(self) -> tuple[Check, ...]:
        """Return doctor's checks of this machine for this runtime."""


RESOURCE = "gateway-config"


class GatewayAdapter(Protocol):
    """The gateway of one environment. `resources` are what has to follow a change of its configuration, by name."""

    resources: tuple[str, ...]

    def files(self, inputs: GatewayInputs) -> Mapping[str, str]:
        """Return what should be in force: texts by name, as a person may read them."""

    def current(self) -> Mapping[str, str]:
        """Return what was applied last, as `files`; empty before. Raises RagopsError (not_permitted, file_error)."""

    def validate(self, inputs: GatewayInputs) -> None:
        """Let the gateway's own program judge it, without applying it. Raises RagopsError (gateway_config_invalid)."""

    def needs_restart(self, inputs: GatewayInputs) -> bool:
        """Whether what runs was started with other settings, which only `up` changes."""
