"""What has to be right in Docker before the Pulumi engine looks: nothing left over, stopped or foreign."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ragops.adapters.docker import inspect as docker_inspect
from ragops.adapters.progress import Progress
from ragops.errors import RagopsError, UsageError
from ragops.runtimes.docker.inspect.provisioned import services
from ragops.runtimes.docker.names import INSTANCE, SERVICE, TEMPORARY
from ragops.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from ragops.adapters.docker.client import DockerHost
    from ragops.adapters.docker.values import Container
    from ragops.runtimes.docker.inspect.provisioned import Provisioned, Record
    from ragops.runtimes.docker.names import DockerNames

    OnProgress = Callable[[Progress], None]

DATA_SUFFIX = "-data"
_STOP_SECONDS = 60.0  # where the container has no grace of its own


def refuse_foreign_platform(docker: DockerHost, names: DockerNames, known: Callable[[], Collection[str]]) -> None:
    """Raise UsageError (name_taken) where the platform of this name here is none of this project's.

    `known` returns the ids in the project's own state. Two projects of one name would stop each other's containers and
    take each other's data.
    """
    found = [container.id for container in docker.containers(names.labels())]
    found += [volume.name for volume in docker.volumes(names.labels())]
    if found and not set(found) & set(known()):
        what = (
            f"Docker already has a platform {names.platform!r}, environment {names.environment!r}, of another project"
        )
        hint = "choose another `name:` (or --env); if this project's .ragops/ was lost, put it back from your copy"
        raise UsageError("name_taken", what, hint)


def clear_left_over(
    docker: DockerHost, names: DockerNames, record: Record, known: Callable[[], Collection[str]], say: OnProgress
) -> None:
    """Remove what a killed run left: short-lived containers, and containers and networks that the state lost track of.

    Data are in volumes, which stay. `known` returns the ids in the state; it is called only if something is in doubt.
    """
    doubtful = []
    for container in docker.containers(names.labels()):
        if TEMPORARY in container.labels or INSTANCE not in container.labels:
            docker.remove(container.id, force=True)
        elif container.id not in record.known:
            doubtful.append(container)
    networks = [network for network in docker.networks(names.labels()) if network.id not in record.known]
    in_state = set(known()) if doubtful or networks else set()
    for container in doubtful:
        if container.id not in in_state:
            say(Progress(container.labels[INSTANCE], "left by an interrupted run: recreated with its data", final=True))
            _remove(docker, container)
    for network in networks:
        if network.id not in in_state:
            with contextlib.suppress(RagopsError):  # containers of ours are in it: the engine reports what is wrong
                docker.remove_network(network.id)


def start_stopped(docker: DockerHost, names: DockerNames, say: OnProgress) -> None:
    """Start what is stopped or paused, in the services' order; nothing is awaited.

    The engine would replace a stopped container, which seems to have no ports. What cannot be started is left to it.
    """
    for container in in_order(services(docker, names)):
        instance, state = container.labels[INSTANCE], container.state
        try:
            if state.status == "paused":
                docker_inspect.unpause(docker, container.id)
                say(Progress(instance, "was paused: resumed", final=True))
            elif is_startable(container):
                docker.start(container.id)
                say(Progress(instance, "was stopped: started", final=True))
        except RagopsError as error:
            say(Progress(instance, error.message, final=True))


def is_startable(container: Container) -> bool:
    """Whether it does not run and can be started or resumed."""
    return container.state.status in ("exited", "created", "paused")


def report_lost_data(docker: DockerHost, record: Record, say: OnProgress) -> None:
    """Report each volume of data that is gone: the service will start empty."""
    for item in record.containers:
        for volume in item.volumes:
            if volume.endswith(DATA_SUFFIX) and docker.volume(volume) is None:
                text = f"its volume {volume} was removed: it starts EMPTY; {_way(item)}"
                say(Progress(item.instance, text, final=True))


def _way(item: Provisioned) -> str:
    if item.instance != item.service:  # one node of several
        return "the other nodes fill it again"
    return "`ragops restore latest` brings the data back"


def stop_all(docker: DockerHost, names: DockerNames) -> tuple[str, ...]:
    """Remove every container and network of the environment, gently, and every volume but those of data.

    Returns the services of containers that ran.
    """
    stopped = []
    for container in reversed(list(in_order(docker.containers(names.labels())))):
        if container.state.running and SERVICE in container.labels:
            stopped.append(container.labels[SERVICE])
        _remove(docker, container)
    for network in docker.networks(names.labels()):
        with contextlib.suppress(RagopsError):  # somebody else's container is in it
            docker.remove_network(network.id)
    for volume in docker.volumes(names.labels()):
        if not volume.name.endswith(DATA_SUFFIX):
            docker.remove_volume(volume.name)
    return tuple(dict.fromkeys(reversed(stopped)))


def in_order(containers: Iterable[Container]) -> Iterator[Container]:
    """Return the containers in the order in which their services depend on one another."""
    order = {service.name: number for number, service in enumerate(SERVICES)}
    yield from sorted(containers, key=lambda one: (order.get(one.labels.get(SERVICE, ""), len(order)), one.name))


def _remove(docker: DockerHost, container: Container) -> None:
    if container.state.status == "paused":
        docker_inspect.unpause(docker, container.id)
    if container.state.running or container.state.status in ("paused", "restarting"):
        docker.stop(container.id, container.stop_timeout or _STOP_SECONDS)
    docker.remove(container.id, force=True)
