"""What a service is to the rest of ragops: small protocols and frozen values.

Provisioning describes a service as a `ServiceSpec` (spec.py) and hands it to a runtime. Day-2 operations know its
`Endpoint` and, where an operation needs more than the service's own protocol, the `Control` that its runtime gives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import SecretStr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from pydantic import BaseModel

    from ragops.services.control import Control
    from ragops.services.spec import RuntimeTraits


# --- how to reach a service -----------------------------------------------------------------------------------


class Capability(StrEnum):
    """What an operation may do to a service beyond speaking its protocol."""

    RESTART = "can_restart"
    EXEC = "can_exec"
    READ_FILES = "can_read_files"


@dataclass(frozen=True)
class Login:
    """A user of a service; `secret` names the password in the secrets of the environment."""

    user: str
    secret: str
    password: SecretStr = field(default=SecretStr(""))


@dataclass(frozen=True)
class Endpoint:
    """Where a service is and how to speak to it: one output of the stack.

    `handle` is what the runtime finds it by (a run folder, a container's name); `version` is the pinned one.
    `inner_host` and `inner_port` are what the other services reach it by, where that differs.
    `logins` has the roles `operator` (ragops itself) and `application` (what the RAG services use).
    """

    service: str
    engine: str
    version: str
    runtime: str
    host: str
    port: int
    handle: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    logins: Mapping[str, Login] = field(default_factory=dict)
    capabilities: frozenset[Capability] = frozenset()
    inner_host: str = ""
    inner_port: int = 0

    @property
    def inner(self) -> tuple[str, int]:
        """Host and port that the other services reach it by."""
        return self.inner_host or self.host, self.inner_port or self.port

    def can(self, capability: Capability) -> bool:
        """Whether an operation may use `capability` on this service."""
        return capability in self.capabilities

    @property
    def files_here(self) -> bool:
        """Whether the paths that the server names are this machine's, not those inside an image."""
        return self.can(Capability.READ_FILES) and not self.inner_host

    def to_dict(self) -> dict[str, Any]:
        """The endpoint as JSON values, without any password."""
        return {
            "service": self.service,
            "engine": self.engine,
            "version": self.version,
            "runtime": self.runtime,
            "host": self.host,
            "port": self.port,
            "handle": self.handle,
            "options": dict(self.options),
            "logins": {role: {"user": login.user, "secret": login.secret} for role, login in self.logins.items()},
            "capabilities": sorted(self.capabilities),
            "inner_host": self.inner_host,
            "inner_port": self.inner_port,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], secrets: Mapping[str, str]) -> Endpoint:
        """Build from `to_dict`'s values, passwords looked up by name in `secrets` (KeyError where one is missing)."""
        logins = {
            role: Login(login["user"], login["secret"], SecretStr(secrets[login["secret"]]))
            for role, login in values["logins"].items()
        }
        capabilities = frozenset(Capability(name) for name in values["capabilities"])
        return cls(**{**values, "port": int(values["port"]), "logins": logins, "capabilities": capabilities})


# --- health ------------------------------------------------------------------------------------------------------


class Status(StrEnum):
    """How well something is, best first."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True)
class Check:
    """One thing that a probe looked at; `hint` says the cure where it is not ok."""

    name: str
    status: Status
    detail: str
    hint: str = ""


@dataclass(frozen=True)
class ProbeResult:
    """All checks of one service and how long they took, in seconds."""

    service: str
    checks: tuple[Check, ...]
    seconds: float
    version: str = ""

    @property
    def status(self) -> Status:
        """The worst of the checks."""
        order = list(Status)
        return max((check.status for check in self.checks), key=order.index, default=Status.DOWN)


# --- backup ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """One file of a recovery point as its engine wrote it.

    `counts` are items by kind (rows by table, keys), taken so that they are true of the file; `instant` is when the
    data was as it is in the file; `versions` are those of engine and extensions. `notes` are words for the user: what
    of the service is not in the file by its nature, and what a restore has to go a way of its own for.
    """

    name: str
    instant: datetime
    counts: Mapping[str, int]
    versions: Mapping[str, str]
    notes: tuple[str, ...] = ()


class Extent(StrEnum):
    """How much of a recovery point was proven, least first."""

    READ = "read"
    SAMPLED = "sampled"
    RESTORED = "restored"


@dataclass(frozen=True)
class Proof:
    """What was really proven of all parts of one service.

    RESTORED: the engine has restored all of them, and every count is what the manifest says. SAMPLED: it has restored
    the schema and the kinds (tables) in `proven`, whose counts are right; `left` are those that the budget had no time
    for. READ: the engine has read every byte and restored nothing; `detail` says why. `notes` are words for the user,
    `seconds` what it took.
    """

    extent: Extent
    detail: str
    seconds: float = 0.0
    proven: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def drop(_block: bytes) -> None:
    """Take bytes and do nothing with them."""


class Sink(Protocol):
    """Takes the parts of one service while they are made.

    `folder` is where the engine writes their files, `journal` a file that outlives a killed run, for notes on what it
    would leave elsewhere. `encrypted` says whether what is put can be read by whoever has an identity only: nothing
    else may hold a secret. Every method may be called by several threads.
    """

    folder: Path
    journal: Path
    encrypted: bool

    def begun(self) -> None:
        """The instant of all parts is fixed: what has to come after this service may begin."""

    def each(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run all, several at once within the limit of the run. Raises the first failure, others are not begun then."""

    def following(self, name: str, also: Callable[[bytes], None] = drop) -> AbstractContextManager[None]:
        """The file `name` of `folder` is written inside the block, at its end only, then `put`: a head start for it.

        `also` gets all that is stored of it, in blocks, the last one empty. A block that fails may be entered again
        for the same file, which has to be gone then.
        """

    def put(self, name: str, read_back: Callable[[], Part], sha256: str = "") -> Part:
        """Take the finished file `name` of `folder` away; it is in the repository when this returns.

        Meanwhile `read_back` has the engine read it, and says what it holds. Raises IntegrityError (part_damaged)
        where its checksum is not the one that its engine has stated, if it has.
        """


class BackupEngine(Protocol):
    """Dump, verify and restore of one service, together: what `verify` accepts, `restore` brings back."""

    def dump(self, endpoint: Endpoint, control: Control, sink: Sink) -> None:
        """Give every part to `sink`, each read back by the engine, so that success means it was read back.

        Raises RagopsError; leaves nothing behind on the server, nor what an earlier run that was killed left there.
        """

    def verify(self, folder: Path, part: Part, control: Control) -> None:
        """Read the part with the engine that wrote it, as a restore would; raises IntegrityError where it is not whole.

        `control` may be of a service that is down.
        """

    def prove(
        self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part], budget: float = 0.0
    ) -> Proof:
        """Restore the parts away from the live data, as far as `budget` seconds (0: no limit) go, and compare counts.

        Nothing that is live is changed, and nothing is left. Which kinds are taken first where not all can be changes
        from day to day, so that each has had its turn after seven. Raises IntegrityError where a restore of them would
        fail, or has other counts.
        """

    def preflight(self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part]) -> None:
        """Refuse, before anything is touched, what cannot be restored here (versions, rights, space, capabilities)."""

    def restore(self, endpoint: Endpoint, control: Control, folder: Path, parts: Sequence[Part]) -> tuple[str, ...]:
        """Replace the service's data by the parts' and compare the counts, whether the service was up or down before.

        Returns words for the user, such as where the old data are kept; a NotRestored for each object that is missing
        although all rows are back. A failure leaves the old data serving or set
        aside, never lost; a run that was killed is completed by the next one. Raises IntegrityError on other counts.
        """

    def counts(self, endpoint: Endpoint) -> Mapping[str, int]:
        """Items by kind that the live service holds now, in the terms of `Part.counts`."""


class NotRestored(str):
    """Words on an object that could not be made again, such as an index: the restore is done, but not complete."""

    __slots__ = ()


# --- changes of version ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VersionStep:
    """Whether an engine may go from one version to another, what it costs or why not, and the way that is open."""

    allowed: bool
    detail: str
    hint: str = ""


# --- the service itself ------------------------------------------------------------------------------------------


class Service(Protocol):
    """One folder under services/. Heavy modules are imported inside the methods. `titles` are those of its engines."""

    name: str
    titles: ClassVar[Mapping[str, str]]

    def settings(self) -> type[BaseModel]:
        """The frozen settings model of this service's section in ragops.yaml."""

    def secrets(self) -> tuple[str, ...]:
        """Names of the secrets that are generated for it."""

    def version(self, settings: Any, traits: RuntimeTraits) -> str:
        """The version that its section of the settings asks for: of the image, or of the engine from a wheel."""

    def step(self, before: str, after: str) -> VersionStep:
        """Whether it may go from one version to another with its data, and what that costs."""

    def component(self) -> Callable[..., Any]:
        """The Pulumi component class; imports pulumi."""

    def prepare(self, endpoint: Endpoint) -> None:
        """Bring the running service into its initial state (roles, databases); idempotent, called at the end of up."""

    def probe(self, endpoint: Endpoint, timeout: float) -> ProbeResult:
        """Look at the live service for at most `timeout` seconds; never raises."""

    def backup(self) -> BackupEngine | None:
        """Its dump, verify and restore; None for a service without data of its own."""

    def outputs(self, endpoint: Endpoint, password: str) -> Mapping[str, str]:
        """What an application needs to connect, by environment variable; `password` is the application's, or a mask."""
