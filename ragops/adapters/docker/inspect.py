"""Inspection of containers, networks and the engine for drift, status and doctor."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragops.adapters.docker.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ragops.adapters.docker.api import DockerApi


def read_settings(docker: DockerApi, container: str) -> dict[str, str]:
    """Return the current settings of the container as text, by name. Raises NotFoundError."""
    with docker.translate_errors(f"inspect {container}"):
        raw: Mapping[str, Any] = docker.api.inspect_container(container)
    return extract_settings(raw)


def extract_settings(raw: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings in an inspection that people change by hand, as texts that can be compared and shown.

    Values of variables are digests: nothing that is kept or shown has them in the clear.
    """
    config, host = raw["Config"], raw.get("HostConfig") or {}
    networks = (raw.get("NetworkSettings") or {}).get("Networks") or {}
    return {
        "image": raw["Image"],
        "command": " ".join([*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]),
        "environment": _listed(_sealed(entry) for entry in config.get("Env") or ()),
        "user": config.get("User") or "",
        "memory limit": str(host.get("Memory") or 0),
        "processor limit": str(host.get("NanoCpus") or host.get("CpuQuota") or 0),
        "restart policy": (host.get("RestartPolicy") or {}).get("Name") or "no",
        "published ports": _listed(_published(host.get("PortBindings") or {})),
        "mounts": _listed(_mount(mount) for mount in raw.get("Mounts") or ()),
        "networks": _listed(networks),
        "network names": _listed(_aliases(raw["Id"], raw["Name"].lstrip("/"), networks)),
        "capabilities": _listed(_capabilities(host)),
        "privileges": "privileged" if host.get("Privileged") else _listed(host.get("SecurityOpt") or ()),
        "root": "read-only" if host.get("ReadonlyRootfs") else "writable",
    }


def list_members(docker: DockerApi, network: str) -> dict[str, str] | None:
    """Return the names of the running containers in a network by their ids; None if there is no such network."""
    try:
        with docker.translate_errors(f"inspect the network {network}"):
            raw: Mapping[str, Any] = docker.api.inspect_network(network)
    except NotFoundError:
        return None
    return {ident: str(entry.get("Name")) for ident, entry in (raw.get("Containers") or {}).items()}


@dataclass(frozen=True)
class ContainerSummary:
    """A container as a list has it: `ports` are the TCP ports of the engine's machine that it is published on."""

    id: str
    name: str
    labels: Mapping[str, str]
    ports: tuple[int, ...]


def list_all_containers(docker: DockerApi) -> tuple[ContainerSummary, ...]:
    """Return all containers of the engine, in one request."""
    with docker.translate_errors("list the containers"):
        found = docker.api.containers(all=True)
    return tuple(_listed_one(raw) for raw in found)


def _listed_one(raw: Mapping[str, Any]) -> ContainerSummary:
    published = {int(port["PublicPort"]) for port in raw.get("Ports") or () if port.get("PublicPort")}
    name = str((raw.get("Names") or ["/"])[0]).lstrip("/")
    return ContainerSummary(str(raw["Id"]), name, dict(raw.get("Labels") or {}), tuple(sorted(published)))


def list_volume_users(docker: DockerApi, volume: str) -> tuple[str, ...]:
    """Names of the containers, running or not, that have the volume."""
    with docker.translate_errors(f"list the containers with the volume {volume}"):
        found = docker.api.containers(all=True, filters={"volume": [volume]})
    return tuple(sorted(_listed_one(raw).name for raw in found))


def unpause(docker: DockerApi, container: str) -> None:
    """Resume a paused container."""
    with docker.translate_errors(f"resume {container}"):
        docker.api.unpause(container)


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(sorted(parts))


def _sealed(entry: str) -> str:
    name, _, value = entry.partition("=")
    return f"{name}={hashlib.sha256(value.encode()).hexdigest()[:12]}"


def _published(bindings: Mapping[str, Any]) -> list[str]:
    return [
        f"{binding.get('HostIp') or '0.0.0.0'}:{binding.get('HostPort')}→{inner}"  # noqa: S104  Docker's default, shown
        for inner, found in bindings.items()
        for binding in found or ()
    ]


def _mount(raw: Mapping[str, Any]) -> str:
    return f"{raw.get('Name') or raw.get('Source')}:{raw['Destination']}{'' if raw.get('RW', True) else ' (read-only)'}"


def _aliases(ident: str, name: str, networks: Mapping[str, Any]) -> set[str]:
    """Without those that Docker adds by itself, which differ between its versions."""
    found = {alias for entry in networks.values() for alias in (entry or {}).get("Aliases") or ()}
    return {alias for alias in found if alias != name and not ident.startswith(alias)}


def _capabilities(host: Mapping[str, Any]) -> list[str]:
    return [f"{sign}{name}" for sign, key in (("+", "CapAdd"), ("-", "CapDrop")) for name in host.get(key) or ()]
