"""The docker runtime's day-2 side: containers, their volumes, their logs, and the engine itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from ragops.adapters.docker import logs as docker_logs
from ragops.adapters.docker.client import DockerHost
from ragops.adapters.docker.inspect import list_volume_users
from ragops.adapters.docker.values import parse_time
from ragops.adapters.files import write_atomic
from ragops.adapters.progress import Progress
from ragops.adapters.pulumi import install as pulumi_install
from ragops.adapters.pulumi import plugin as pulumi_plugin
from ragops.errors import RagopsError
from ragops.runtimes.contract import Difference, Instance, LogLine, LogTail
from ragops.runtimes.docker.containers import checked_files as docker_check
from ragops.runtimes.docker.containers import data_volume as docker_data
from ragops.runtimes.docker.containers import reconcile as docker_reconcile
from ragops.runtimes.docker.containers.reconcile import DATA_SUFFIX
from ragops.runtimes.docker.facts import FACTS
from ragops.runtimes.docker.images import api_image
from ragops.runtimes.docker.images import store as docker_fetch
from ragops.runtimes.docker.images.pins import is_made_here, pins_of, references
from ragops.runtimes.docker.inspect import doctor as docker_doctor
from ragops.runtimes.docker.inspect import drift as docker_drift
from ragops.runtimes.docker.inspect import preflight as docker_preflight
from ragops.runtimes.docker.inspect import provisioned as docker_record
from ragops.runtimes.docker.inspect.provisioned import Record
from ragops.runtimes.docker.names import INSTANCE, SERVICE, describe_resource, resources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from ragops.adapters.docker.values import Container, Volume
    from ragops.config.load import Project
    from ragops.runtimes.contract import Judgement, ResourceDescription
    from ragops.runtimes.docker.control import DockerControl
    from ragops.runtimes.docker.gateway import KongAdapter
    from ragops.runtimes.docker.inspect.provisioned import Provisioned
    from ragops.runtimes.docker.runtime import DockerRuntime
    from ragops.services.contract import Check, Endpoint
    from ragops.services.spec import ConfigFile

    OnProgress = Callable[[Progress], None]

_OWNER = "docker-platform"


class DockerRuntimeHost:
    """`RuntimeHost` of one environment whose services are containers."""

    facts = FACTS

    def __init__(self, project: Project) -> None:
        self._project = project
        self._docker = DockerHost()
        self._names = docker_preflight.names_of(project)
        self._record = docker_record.record_file(project.paths.endpoints.with_name("containers.json"))
        # That the containers of this name are this project's: in the folder that has their Pulumi state.
        self._owner = project.paths.pulumi / _OWNER

    def runtime(self) -> DockerRuntime:
        """Return what makes a specification a container; imports Pulumi."""
        from ragops.runtimes.docker.runtime import DockerRuntime

        return DockerRuntime(
            self._names, self._project.settings.expose.addresses(), self.image_id, self._docker.published
        )

    def gateway(self) -> KongAdapter:
        """Return Kong, its container and the volume that it starts from."""
        from ragops.runtimes.docker.gateway import KongAdapter, kong_place
        from ragops.services.gateway.kong_configuration import image

        spec = image(self._project.settings.gateway)
        place = kong_place(self._names, self.image_id(spec.reference))
        return KongAdapter(self._docker, place, self.runtime().layout("gateway", spec))

    def image_id(self, reference: str) -> str:
        """Return the id of the image that `reference` means here; the reference itself if it is not here yet."""
        pin = pins_of(self._project)[reference]
        return pin.id if pin else self._docker.image_id(reference) or reference

    def refuse_what_cannot_start(self) -> None:
        """Raise MissingError or UsageError as `docker_preflight` does."""
        docker_preflight.refuse_what_cannot_start(self._docker, self._project)

    def prepare_up(self, on_progress: OnProgress, known_ids: Callable[[], Collection[str]]) -> None:
        """Prepare plugin and images, clear what a killed run left, start what is stopped."""
        if not self._owner.exists():
            docker_reconcile.refuse_foreign_platform(self._docker, self._names, known_ids)
            write_atomic(self._owner, f"{self._names.network}\n")
        self._fetch(on_progress)
        record = self._provisioned()
        docker_reconcile.report_lost_data(self._docker, record, on_progress)
        docker_reconcile.clear_left_over(self._docker, self._names, record, known_ids, on_progress)
        docker_reconcile.start_stopped(self._docker, self._names, on_progress)

    def will_restart(self) -> Collection[str]:
        """Return the instances whose containers are stopped or paused."""
        found = docker_record.by_instance(docker_record.services(self._docker, self._names))
        return {instance for instance, container in found.items() if docker_reconcile.is_startable(container)}

    def record_provisioned(self) -> None:
        """Keep what the containers are now, to compare with."""
        pins, settings = pins_of(self._project), self._project.settings
        named = {pin.id: reference for reference in references(settings).values() if (pin := pins[reference])}
        self._record.write(docker_record.capture(self._docker, self._names, named))

    def engine_variables(self) -> Mapping[str, str]:
        """Return the variables that name the Docker engine: Pulumi's plugin supports no contexts."""
        return self._docker.endpoint.variables()

    def image_pins(self) -> Mapping[str, str]:
        """Return the image that each reference means here."""
        return {reference: self.image_id(reference) for reference in references(self._project.settings).values()}

    def drift(self) -> tuple[Difference, ...]:
        """Return what is not as the last `up` left it."""
        record = self._provisioned()
        return tuple(docker_drift.find_drift(self._docker, self._names, record))

    def describe_resource(self, urn: str) -> ResourceDescription:
        """Return a description that shows a container's readiness as the container, and nothing that Docker assigns."""
        return describe_resource(urn)

    def resources_of(self, instance: str) -> tuple[str, ...]:
        """Return the container, its rendered files and the wait until it serves."""
        return resources_of(instance)

    def control(self, endpoint: Endpoint, instance: str = "") -> DockerControl:
        """Return the control of the service's container, of a cluster that of `instance` or the first one."""
        from ragops.runtimes.docker.control import DockerControl

        return DockerControl(self._names.container(instance) if instance else endpoint.runtime_id, self._docker)

    def observe(self, endpoint: Endpoint) -> tuple[Instance, ...]:
        """Return the service's containers, those that are gone included."""
        record = self._provisioned()
        before = {item.instance: item for item in record.of(endpoint.service)}
        found = docker_record.by_instance(self._containers(endpoint.service))
        names = tuple(dict.fromkeys((*endpoint.instances, *found)))
        with ThreadPoolExecutor(max_workers=len(names)) as pool:  # a second each: Docker measures no oftener
            look = partial(self._instance, endpoint)
            return tuple(pool.map(look, names, map(found.get, names), map(before.get, names)))

    def containers(self) -> tuple[Instance, ...]:
        """Return what the last `up` recorded; nothing is asked."""
        return tuple(Instance(one.service, one.instance, "", "", one.id) for one in self._provisioned().containers)

    def is_running(self, service: str) -> bool:
        """Whether a container of the service runs."""
        return any(container.state.running for container in self._containers(service))

    def has_data(self, service: str) -> bool:
        """Whether there is a volume of its data that is this project's."""
        ours = self._owner.exists()  # another project's is refused by `prepare_up`, with a message of its own
        return ours and any(volume.labels.get(SERVICE) == service for volume in self._volumes())

    def lacks_data(self, service: str) -> bool:
        """Whether there is no volume of its data; of a cluster one node's is enough for the others to be filled."""
        return not any(volume.labels.get(SERVICE) == service for volume in self._volumes())

    @property
    def data_location(self) -> str:
        """Return the volumes of this platform, for a message."""
        return f"the Docker volumes of {self._names.platform}, environment {self._names.environment}"

    def data_file(self, service: str, instance: str, name: str) -> str | None:
        """Read it from the volume of its data."""
        volume = self._docker.volume(self._names.data_volume(instance))
        image = self.image_id(references(self._project.settings)[service])
        return docker_data.read_file(self._docker, volume, image, name) if volume else None

    def list_data(self) -> tuple[str, ...]:
        """Return the volumes of data; none if they are another project's."""
        return tuple(volume.name for volume in self._volumes()) if self._owner.exists() else ()

    def purge_data(self) -> None:
        """Remove every volume of data. Raises RagopsError (data_in_use) where a container has one, before any goes."""
        volumes = self.list_data()
        for volume in volumes:
            if users := list_volume_users(self._docker, volume):
                what = f"cannot remove the data: the container {users[0]} uses the volume {volume}"
                raise RagopsError("data_in_use", what, f"remove it (`docker rm -f {users[0]}`), then run this again")
        for volume in volumes:
            self._docker.remove_volume(volume)
        self._owner.unlink(missing_ok=True)

    def stop_orphans(self) -> tuple[str, ...]:
        """Remove the containers, networks and rendered files that are in no stack's state."""
        self._record.remove()
        return docker_reconcile.stop_all(self._docker, self._names) if self._owner.exists() else ()

    def read_log(self, service: str, lines: int) -> LogTail | None:
        """Read it from Docker, from all containers of the service."""
        containers = {container.labels[INSTANCE]: container.name for container in self._containers(service)}
        if not containers:
            return None
        last = docker_logs.tail(self._docker, containers, lines)
        follow = partial(docker_logs.follow, self._docker, containers, last)
        return LogTail(tuple(map(_line, last)), lambda: map(_line, follow()))

    def rotate_logs(self) -> None:
        """Do nothing: Docker bounds them, as each container was made."""

    def check_files(self, image: str, command: Sequence[str], files: Sequence[ConfigFile]) -> Judgement | None:
        """Run it in a container of its own; None if the image is not here."""
        return docker_check.check_files(self._docker, self._names, self.image_id(image), command, files)

    def doctor_checks(self) -> tuple[Check, ...]:
        """Check engine, plugin, images, disk and ports."""
        return docker_doctor.doctor_checks(self._docker, self._project)

    def _provisioned(self) -> Record:
        return self._record.read() or Record()

    def _fetch(self, on_progress: OnProgress) -> None:
        if pulumi_plugin.find() is None:
            on_progress(Progress("pulumi-docker", f"downloading the plugin {pulumi_plugin.version()}"))
            pulumi_plugin.install(pulumi_install.require())
            on_progress(Progress("pulumi-docker", "installed", final=True))
        docker_fetch.fetch_missing(self._docker, self._project, on_progress)
        for service, reference in references(self._project.settings).items():
            if is_made_here(self._project.settings, service) and not api_image.is_current(self._docker, reference):
                text = "was built from other files than are here now; `ragops images build` renews it"
                on_progress(Progress(reference, text, final=True))

    def _containers(self, service: str) -> tuple[Container, ...]:
        found = self._docker.containers(self._names.labels(service))
        return tuple(container for container in found if docker_record.is_service(self._names, container))

    def _volumes(self) -> tuple[Volume, ...]:
        found = self._docker.volumes(self._names.labels())
        return tuple(volume for volume in found if volume.name.endswith(DATA_SUFFIX))

    def _instance(
        self, endpoint: Endpoint, name: str, container: Container | None, before: Provisioned | None
    ) -> Instance:
        state = docker_drift.state_of(container, before.restarts if before else 0)
        image = before.reference if before else ""
        if container is None:
            return Instance(endpoint.service, name, state, "-", image=image)
        runs = container.state.running
        return Instance(
            service=endpoint.service,
            name=name,
            state=state,
            address=_address(endpoint, container),
            ident=container.id if runs else "",
            image=image,
            uptime=docker_drift.uptime(container),
            memory=self._memory(container.id) if runs else 0,
        )

    def _memory(self, container: str) -> int:
        try:
            return self._docker.memory(container)
        except RagopsError:  # it has ended since
            return 0


def _address(endpoint: Endpoint, container: Container) -> str:
    """Return the address that the service's port is published on."""
    ports = sorted(container.ports, key=lambda port: (port.inner != endpoint.inner_port, port.inner))
    return f"{ports[0].host}:{ports[0].port}" if ports else "-"


def _line(line: docker_logs.LogLine) -> LogLine:
    return LogLine(line.source, line.text, parse_time(line.stamp))
