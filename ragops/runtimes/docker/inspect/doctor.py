"""Doctor's checks of a machine for the docker runtime: one line each, with a hint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ragops.adapters.docker import inspect as docker_inspect
from ragops.adapters.pulumi import plugin as pulumi_plugin
from ragops.errors import RagopsError
from ragops.runtimes.checks import run_check
from ragops.runtimes.docker.images.pins import is_made_here, pins_of, references
from ragops.runtimes.docker.inspect import preflight as docker_preflight
from ragops.services.contract import Check, Status
from ragops.units import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ragops.adapters.docker.client import DockerHost
    from ragops.adapters.docker.values import Engine
    from ragops.config.load import Project

_LOOPBACK_SAFE = 28  # the first Docker whose 127.0.0.1 is private (moby 45610)
_COMFORTABLE = 5 * 2**30
_GOOD_DRIVERS = ("overlay2", "overlayfs", "btrfs", "zfs", "fuse-overlayfs")


def doctor_checks(docker: DockerHost, project: Project) -> tuple[Check, ...]:
    """Return all checks; if no engine answers only that and the plugin."""
    plugin = run_check("plugin", lambda: f"{pulumi_plugin.version()} at {pulumi_plugin.require()}")
    try:
        engine = docker.engine()
    except RagopsError as error:
        return Check("docker", Status.DOWN, error.message, error.hint), plugin
    return (
        Check("docker", Status.OK, f"{engine.version}, API {engine.api}, on {engine.os} at {docker.url}"),
        plugin,
        *_engine(docker, engine),
        *_images(docker, project),
        *_ports(docker, project),
    )


def _engine(docker: DockerHost, engine: Engine) -> Iterator[Check]:
    yield _disk(docker)
    yield storage(engine)
    yield limits(engine)
    yield security(engine)
    if docker_preflight.is_local(docker):
        yield loopback(engine.version, _forwarding())
    else:
        detail = f"the engine is on another machine ({engine.name}): published ports are that machine's 127.0.0.1"
        hint = "work on that machine, or publish with `expose:` on an address that reaches it from here"
        yield Check("engine", Status.DEGRADED, detail, hint)


def storage(engine: Engine) -> Check:
    """Whether the storage driver is one for production."""
    if engine.storage_driver in _GOOD_DRIVERS:
        return Check("storage", Status.OK, engine.storage_driver)
    hint = "set overlay2 in Docker's daemon.json: this one is slow, and copies whole images"
    return Check("storage", Status.DEGRADED, f"the storage driver is {engine.storage_driver}", hint)


def limits(engine: Engine) -> Check:
    """Whether memory limits hold, and what else the engine warns of."""
    about = [text for text in engine.warnings if re.search("memory limit|swap limit|oom kill", text, re.IGNORECASE)]
    if not engine.memory_limit or any("No memory limit" in text for text in about):
        hint = "enable the memory cgroup (cgroup_enable=memory on the kernel's command line)"
        return Check("limits", Status.DEGRADED, "memory limits of containers do not hold on this machine", hint)
    return Check("limits", Status.OK, "memory limits hold")


def security(engine: Engine) -> Check:
    """Check how containers are confined."""
    if "seccomp" not in engine.security and engine.security:
        hint = "use a Docker and a kernel with seccomp, and no --security-opt seccomp=unconfined"
        return Check("security", Status.DEGRADED, "containers run without seccomp", hint)
    return Check("security", Status.OK, ", ".join(engine.security) or "unknown")


def loopback(version: str, forwarding: bool) -> Check:
    """Whether ports published on 127.0.0.1 stay on this machine."""
    major = re.match(r"\d+", version)
    if major and int(major[0]) < _LOOPBACK_SAFE and forwarding:
        detail = f"Docker {version} with IP forwarding: 127.0.0.1 is reachable from the same network segment"
        hint = "upgrade Docker to 28, or drop packets from outside to 127.0.0.0/8 (moby 45610)"
        return Check("loopback", Status.DEGRADED, detail, hint)
    return Check("loopback", Status.OK, "ports published on 127.0.0.1 stay on this machine")


def _forwarding() -> bool:
    try:
        return Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"
    except OSError:
        return False


def _disk(docker: DockerHost) -> Check:
    found = docker_preflight.free_space(docker)
    if found is None:
        return Check("disk", Status.OK, "where Docker keeps its data cannot be seen from here")
    folder, free = found
    text = f"{size(free)} free in {folder}, where Docker keeps images and data"
    if free < docker_preflight.MIN_FREE_BYTES:
        return Check("disk", Status.DOWN, text, "free some of it: `docker system df` shows what takes it")
    hint = "" if free >= _COMFORTABLE else "data, images and recovery points will soon need more"
    return Check("disk", Status.DEGRADED if hint else Status.OK, text, hint)


def _images(docker: DockerHost, project: Project) -> Iterator[Check]:
    pins = pins_of(project)
    for service, reference in references(project.settings).items():
        pin = pins[reference]
        if docker.image(pin.id if pin else reference) or docker.image(reference):
            yield Check("image", Status.OK, f"{reference} is here")
        elif is_made_here(project.settings, service):
            yield Check("image", Status.OK, f"{reference} will be built by `ragops up`")
        else:
            hint = "`ragops up` pulls it, `ragops images pull` does now; `--load FILE` without a network"
            yield Check("image", Status.DEGRADED, f"{reference} is not here", hint)


def _ports(docker: DockerHost, project: Project) -> Iterator[Check]:
    containers = docker_inspect.list_all_containers(docker)
    for (service, _key), number in project.settings.ports().items():

        def free(service: str = service, number: int = number) -> str:
            docker_preflight.refuse_taken_port(docker, project, containers, service, number)
            return f"{number} for {service}"

        yield run_check("port", free)
