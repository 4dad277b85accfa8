"""The engine's resources of the docker runtime: which belong to an instance, and how plans show them."""

from __future__ import annotations

from ragops.runtimes.contract import ResourceDescription
from ragops.runtimes.docker.names import CONFIG

READY = "-ready"  # ends the name of the resource that waits until a container serves
_HIDDEN = frozenset({CONFIG, "container_id", "restarts"})  # the label is a digest of files whose change is shown
_OF_RUNNING = frozenset({"ports", "mustRun", "start"})  # a container that does not run seems to have lost these


def describe_resource(urn: str) -> ResourceDescription:
    """Return the description of the resource with this URN; the readiness of a container is shown as the container."""
    return ResourceDescription(urn.rpartition("::")[2].removesuffix(READY), _HIDDEN, _OF_RUNNING)


def resources_of(instance: str) -> tuple[str, ...]:
    """Return the names of what an instance is made of without its data: container, rendered files, readiness."""
    return (instance, f"{instance}-config", f"{instance}{READY}")
