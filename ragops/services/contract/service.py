"""The service itself: what each folder under services/ provides, and what it may leave to the defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from ragops.services.contract.lazy import Lazy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

    from ragops.services.contract.backup import BackupEngine
    from ragops.services.contract.endpoint import Endpoint
    from ragops.services.contract.probe import ProbeResult
    from ragops.services.spec import RuntimeTraits


# Reads a file among the data of an instance, by the instance's name and its own: its text, None if there is none.
DataFileReader: TypeAlias = "Callable[[str, str], str | None]"


@dataclass(frozen=True)
class VersionStep:
    """Whether an engine may go from one version to another: the cost if it may, else the reason and another way."""

    allowed: bool
    detail: str
    hint: str = ""


@dataclass(frozen=True)
class Program:
    """A program of a service whose engine comes as a wheel (embedded runtime).

    `package` is the Python package that the wheel installs. `path` is the program's file in it, with `{platform}` for
    the system and the machine (linux-x86_64); empty: the service is Python and runs in ragops' own environment.
    `tools` are programs of the same folder, `aliases` other names that the program acts by.
    """

    name: str
    package: str
    path: str = ""
    tools: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScrapeTarget:
    """A page of metrics in Prometheus' format; `secret` names the bearer token that it asks for, empty: none.

    `job` is what its series are called by, empty: the service.
    """

    instance: str
    url: str
    secret: str = ""
    job: str = ""


@dataclass(frozen=True)
class Declaration:
    """What a service is declared from on the platform's stack.

    `settings` is its section of ragops.yaml, `platform` the platform's name, `before` holds the endpoints of the
    services that it needs, by name, `targets` their pages of metrics. `own` are values of operations that this service
    alone reads. `is_mixed`: its nodes do not all run the wanted version yet. `is_monitored`: exporters ask it, by a
    login of their own.
    """

    settings: Any
    platform: str
    secrets: Mapping[str, str]
    runtime: Any
    before: Mapping[str, Endpoint] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)
    is_mixed: bool = False
    targets: Mapping[str, tuple[ScrapeTarget, ...]] = field(default_factory=dict)
    is_monitored: bool = False


class Declared(Protocol):
    """The Pulumi component of a service."""

    endpoint: Endpoint


class Service:
    """One folder under services/: its subclass and an entry of SERVICES in `services/__init__.py` are all it needs.

    Members that stand for an object of another module are `Lazy`: without another name it is `component` or `health` of
    the service's folder. Required: `name`, that of its section in ragops.yaml; `titles`, the names of its
    engines for a person; `settings`, `declare`, `probe` and `outputs`.

    Optional: `image` is the reference of the pinned image; `builds_image`: it is built from this package, not pulled.
    `wheel_version` is the version of its engine as a wheel, empty without one. `update_cost` is what a newer version
    costs, unless the service has a `step` of its own.
    `programs` are those of the engine as a wheel. `needs` names the services that are declared before it.
    `is_optional`: without its section in ragops.yaml there is no such service, unless `is_default_with_images` and the
    runtime starts images; `off` instead of the section, and there is none. `instances` are the names of its instances
    if they are not its own. `host_programs` are programs of this machine that it runs if the runtime starts no images.
    `ports_of_others` are keys of ports in its section that another service listens on, with that service.
    `exposable` describes its line in
    `expose:`, empty if its ports stay on 127.0.0.1. `image_keys` are the keys of its section that only runtimes with
    images read. `section_template` is the text of its section in a new ragops.yaml, below templates/; empty: its ports
    only. `dashboards` are files with Grafana dashboards, below templates/.
    """

    name: ClassVar[str]
    titles: ClassVar[Mapping[str, str]]
    image: ClassVar[str] = ""
    wheel_version: ClassVar[str] = ""
    update_cost: ClassVar[str] = ""
    builds_image: ClassVar[bool] = False
    programs: ClassVar[tuple[Program, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    is_optional: ClassVar[bool] = False
    is_default_with_images: ClassVar[bool] = False
    instances: ClassVar[tuple[str, ...]] = ()
    host_programs: ClassVar[tuple[str, ...]] = ()
    ports_of_others: ClassVar[Mapping[str, str]] = {}
    exposable: ClassVar[str] = ""
    image_keys: ClassVar[tuple[str, ...]] = ()
    section_template: ClassVar[str] = ""
    dashboards: ClassVar[tuple[str, ...]] = ()

    settings: Lazy[type[BaseModel]]
    """The frozen settings model of its section in ragops.yaml."""

    declare: Lazy[Callable[[Declaration, Any], Declared]] = Lazy(".component:declare")
    """Declare its Pulumi component with resource options; imports pulumi."""

    probe: Lazy[Callable[[Endpoint, float], ProbeResult]] = Lazy(".health:probe")
    """Check the live service for at most so many seconds; never raises."""

    backup: Lazy[Callable[[], BackupEngine | None]] = Lazy(default=lambda: None)
    """Return its dump, verify and restore; None for a service without data of its own."""

    prepare: Lazy[Callable[[Endpoint], None]] = Lazy(default=lambda _endpoint: None)
    """Bring the running service into its initial state (roles, databases); idempotent, called at the end of `up`."""

    check_update: Lazy[Callable[[Endpoint, Any], None]] = Lazy(default=lambda _endpoint, _settings: None)
    """Raise UsageError if the provisioned service must not be updated to these settings."""

    before_update: Lazy[Callable[[Endpoint, DataFileReader], tuple[str, ...]]] = Lazy(
        default=lambda _endpoint, _file: ()
    )
    """Prepare the running service for an update; returns notes for the user."""

    after_update: Lazy[Callable[[Endpoint, float], None]] = Lazy(default=lambda _endpoint, _timeout: None)
    """Wait until a cluster is whole after one of its nodes was updated, for at most so many seconds."""

    node_versions: Lazy[Callable[[Endpoint], Mapping[str, str]]] = Lazy(default=lambda _endpoint: {})
    """Return the versions of the nodes that answer, by name. Raises UnhealthyError if none does."""

    mixed_nodes: Lazy[Callable[[Endpoint, str], frozenset[str] | None]] = Lazy(default=lambda _endpoint, _wanted: None)
    """Return the nodes that refuse the others while not all run the wanted version; None if no node refuses another."""

    instance_title: Lazy[Callable[[Endpoint, str], tuple[str, str] | None]] = Lazy(
        default=lambda _endpoint, _instance: None
    )
    """Return title and version of one of its instances; None if they are those of the service."""

    def step(self, before: str, after: str) -> VersionStep:
        """Return whether it may go from one version to another with its data, and the cost: forward only."""
        from ragops.services.versions import forward

        return forward(before, after, self.update_cost)

    def version(self, settings: Any, traits: RuntimeTraits) -> str:
        """Return the version that its section asks for: of the image, by its tag, or of the engine from a wheel."""
        from ragops.services.image_references import tag_version

        return tag_version(settings.image or self.image) if traits.uses_images else self.wheel_version

    def images(self, settings: Any) -> Mapping[str, str]:
        """Return the images that it is made from, by what each is of; empty without any."""
        reference = getattr(settings, "image", "") or self.image
        return {self.name: reference} if reference else {}

    def outputs(self, endpoint: Endpoint, password: str) -> Mapping[str, str]:
        """Return what an application needs to connect, by environment variable; `password` may be a mask."""
        raise NotImplementedError

    def secrets(self) -> tuple[str, ...]:
        """Return the names of the secrets that are generated for it."""
        return ()

    def more_secrets(self, settings: Any) -> tuple[str, ...]:  # noqa: ARG002  part of the contract
        """Return the names of secrets that its settings ask for, besides those that it always has."""
        return ()

    def ports(self, settings: Any, *, uses_images: bool) -> Mapping[str, int]:  # noqa: ARG002  part of the contract
        """Return the ports of this machine that it listens on, by their key in its section.

        Several that follow from one key have more words after it, after a comma.
        """
        return {"port": settings.port}

    def scrape_targets(self, endpoint: Endpoint) -> tuple[ScrapeTarget, ...]:  # noqa: ARG002  part of the contract
        """Return its pages of metrics, as the other services reach them."""
        return ()
