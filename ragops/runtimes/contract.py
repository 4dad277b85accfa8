"""The day-2 side of a runtime: what there is of an environment on this machine, and what can be done to it.

Operations know this protocol and no runtime by name: whoever adds a runtime adds a `RuntimeHost` and registers it in
`machines.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from ragops.adapters.progress import Progress
    from ragops.runtimes.gateway import GatewayAdapter
    from ragops.services.contract import Check, Endpoint
    from ragops.services.control import Control
    from ragops.services.gateway.component import GatewayRuntime
    from ragops.services.spec import RuntimeTraits

RUNNING = "running"
STOPPED = "stopped"


@dataclass(frozen=True)
class Instance:
    """One process or container as it is now; `uptime` in seconds and `memory` in bytes are 0 where it does not run.

    `state` is `running`, or words for what is wrong; `ident` is what it is found by there (a pid, a container's id).
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
    """Something that is not as it was provisioned, in words: resource, what was, what is."""

    resource: str
    before: str
    now: str


class RuntimeHost(Protocol):
    """One environment on this machine, seen by operations. `traits` are what services depend on."""

    name: str
    traits: RuntimeTraits

    def runtime(self) -> GatewayRuntime:
        """What components hand their specifications to."""

    def gateway(self) -> GatewayAdapter:
        """How the gateway's hot configuration is rendered, looked at and judged here."""

    def refuse_what_cannot_start(self) -> None:
        """Raise for whatever would make `up` fail half-way: a missing engine, a port that is taken, a full disk."""

    def prepare_up(self, on_progress: Callable[[Progress], None], known_ids: Callable[[], Collection[str]]) -> None:
        """Make ready what the engine cannot: fetch images, clear what an interrupted run left, start what is stopped.

        `known_ids` returns the ids in the engine's state; it is called only if something is in doubt. Idempotent;
        runs under the lock.
        """

    def will_restart(self) -> Collection[str]:
        """Instances that `prepare_up` would start, so that the engine never sees them stopped."""

    def record_provisioned(self) -> None:
        """Keep what there is now, for later looks to compare with."""

    def engine_variables(self) -> Mapping[str, str]:
        """What the Pulumi engine and its providers need in their environment to act on this very machine."""

    def image_pins(self) -> Mapping[str, str]:
        """What the platform is made from besides its settings and secrets, such as the images that are here."""

    def drift(self) -> tuple[Difference, ...]:
        """What is not as it was provisioned and the engine's own refresh does not see."""

    def control(self, endpoint: Endpoint) -> Control:
        """What restores and repairs may do to the service."""

    def observe(self, endpoint: Endpoint) -> tuple[Instance, ...]:
        """Every instance of the service, as it is now."""

    def is_running(self, service: str) -> bool:
        """Whether anything of the service runs, provisioned whole or not."""

    def has_data(self, service: str) -> bool:
        """Whether the service has data here."""

    def lacks_data(self, service: str) -> bool:
        """Whether no instance of the service has any data here, whoever's they are: it would start empty."""

    @property
    def data_location(self) -> str:
        """Where the data of the services lie, in words."""

    def data_file(self, service: str, instance: str, name: str) -> str | None:
        """The text of the file `name` among the data of an instance, whether it runs or not; None without it."""

    def list_data(self) -> tuple[str, ...]:
        """Folders or volumes of data, by name."""

    def purge_data(self) -> None:
        """Remove all of `data()` for good. Raises RagopsError (data_in_use) before anything is removed."""

    def stop_orphans(self) -> tuple[str, ...]:
        """Stop what runs though the engine does not know of it; returns the services' names."""

    def read_log(self, service: str, lines: int, *, following: bool) -> Iterator[str] | None:
        """The last `lines` lines of its log, then what is appended if `following`; None where it never ran."""

    def rotate_logs(self) -> None:
        """Bound the logs, where the runtime does not by itself."""

    def doctor_checks(self) -> tuple[Check, ...]:
        """What `doctor` says of this machine for this runtime."""
