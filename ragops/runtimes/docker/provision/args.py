"""From a ServiceSpec to the exact arguments of its container. Pure values, no Pulumi."""

from __future__ import annotations

import hashlib
import json
import math
import shlex
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ragops.runtimes.docker.facts import TRAITS
from ragops.runtimes.docker.names import CONFIG, DATA_FOLDER
from ragops.services.spec import ExecCheck, Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ragops.runtimes.docker.names import DockerNames
    from ragops.services.spec import ConfigFile, HealthCheck, ImageSpec, InitStep, ServiceSpec

LOOPBACK = "127.0.0.1"
_MIB = 1 << 20
# Each round costs some 50 ms of processor time; what waits for a service runs the check itself.
_INTERVAL, _TIMEOUT, _RETRIES = "10s", "5s", 3
_TMPFS = "rw,nosuid,nodev,noexec,size=256m,mode=1777"
_LOG = {"max-size": "10m", "max-file": "3"}


def layout(instance: str, image: ImageSpec) -> Layout:
    """Return the folders of an instance inside its image, and the name that the others reach it by."""
    data_dir = f"{image.mount}/{DATA_FOLDER}" if image.mount else ""
    return Layout(
        image.config_dir,
        data_dir,
        "0.0.0.0",  # noqa: S104 - inside its own network
        internal_host=instance,
        hot_dir=image.hot_dir,
        **asdict(TRAITS),
    )


def container_args(
    spec: ServiceSpec,
    image: ImageSpec,
    names: DockerNames,
    *,
    image_id: str,
    network: Any,
    expose: tuple[str, ...] = (LOOPBACK,),
    published: Mapping[int, tuple[str, ...]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return all arguments of the container of `spec`, by the names of the plugin.

    `network` is the id of the network: one that was recreated has another id, and its name would not show that.
    `expose` are the addresses of this machine that the published ports listen on; `published` are those by port of the
    container as they are read back now.
    """
    start = start_script(layout(spec.name, image).data_dir, spec.init, spec.lock_files, spec.guard)
    grace = math.ceil(spec.stop_grace)
    return {
        "name": names.container(spec.name),
        "hostname": spec.name,
        "image": image_id,
        "entrypoints": ["/bin/sh", "-c", start, "ragops"],
        "command": list(spec.command),
        "envs": [f"{name}={value}" for name, value in sorted(spec.environment.items())],
        "user": image.user,
        "must_run": True,
        "restart": "unless-stopped",
        "stop_signal": spec.stop_signal,
        "stop_timeout": grace,
        "destroy_grace_seconds": grace,  # without it the plugin kills at once
        # With the network's own name here the plugin loses the aliases; it takes the container off `bridge` itself.
        "network_mode": "bridge",
        "networks_advanced": [{"name": network, "aliases": [spec.name]}],
        "ports": _ports(spec, expose, published),
        "volumes": _volumes(spec, image, names),
        **_confined(image),
        "log_driver": "json-file",
        "log_opts": _LOG,
        "healthcheck": _healthcheck(spec.health, spec.start_timeout),
        "labels": _labels({**names.labels(spec.service, spec.name), CONFIG: digest(spec, image)}),
        **_sizes(spec),
    }


def _confined(image: ImageSpec) -> dict[str, Any]:
    return {
        "read_only": True,
        "tmpfs": dict.fromkeys(image.writable, _TMPFS),
        "capabilities": {"drops": ["ALL"]},
        "security_opts": ["no-new-privileges:true"],
    }


def addresses(expose: str) -> tuple[str, ...]:
    """Return the addresses to publish on for `expose`: the loopback address too, for ragops' own commands."""
    return (expose,) if expose in ("0.0.0.0", LOOPBACK) else (LOOPBACK, expose)  # noqa: S104 - compared, not bound


def _ports(
    spec: ServiceSpec, expose: tuple[str, ...], published: Mapping[int, tuple[str, ...]]
) -> list[dict[str, Any]]:
    """Return the ports in the order in which the plugin reads them back: another one would replace the container.

    Of several addresses of one port each version of Docker has an order of its own, so the container itself is asked.
    """
    found = []
    for inner, port in sorted((spec.ports[name], port) for name, port in spec.publish.items()):
        now = published.get(inner, ())
        listened = now if sorted(now) == sorted(expose) else expose
        found += [{"internal": inner, "external": port, "ip": ip, "protocol": "tcp"} for ip in listened]
    return found


def _volumes(spec: ServiceSpec, image: ImageSpec, names: DockerNames) -> list[dict[str, Any]]:
    mounts = (
        (names.data_volume(spec.name), image.mount, False),
        (names.config_volume(spec.name), image.config_dir if spec.files else "", True),
        (names.hot_volume(spec.name), image.hot_dir, True),
    )
    found: list[dict[str, Any]] = [
        {"volume_name": volume, "container_path": folder, "read_only": read_only}
        for volume, folder, read_only in mounts
        if folder
    ]
    return found + [{"host_path": one.source, "container_path": one.target, "read_only": True} for one in spec.binds]


def _sizes(spec: ServiceSpec) -> dict[str, int]:
    """Return limits in MiB; a memory limit counts for memory and swap, or Docker would allow as much swap again."""
    memory = math.ceil(spec.memory / _MIB)
    found = {"memory": memory, "memory_swap": memory} if memory else {}
    return found | ({"shm_size": math.ceil(spec.shm / _MIB)} if spec.shm else {})


def _healthcheck(check: HealthCheck, start_timeout: float) -> dict[str, Any]:
    if not isinstance(check, ExecCheck):
        raise TypeError(f"inside an image a check is a command, not {check}")
    return {
        "tests": ["CMD", *check.command],
        "interval": _INTERVAL,
        "timeout": _TIMEOUT,
        "start_period": duration(start_timeout),
        "retries": _RETRIES,
    }


def duration(seconds: float) -> str:
    """Return whole seconds as Go writes them: in any other form a duration would seem to have changed."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def digest(spec: ServiceSpec, image: ImageSpec) -> str:
    """Return the SHA-256 of what a container is made with and the plugin cannot change in place; it is its label."""
    made = {
        "files": {file.name: file.content for file in spec.files},
        "healthcheck": _healthcheck(spec.health, spec.start_timeout),
        "tmpfs": dict.fromkeys(image.writable, _TMPFS),
        "limited": bool(spec.memory),
    }
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()


def _labels(labels: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"label": name, "value": value} for name, value in sorted(labels.items())]


def network_args(names: DockerNames) -> dict[str, Any]:
    """Return all arguments of the environment's network."""
    return {"name": names.network, "driver": "bridge", "labels": _labels(names.labels())}


def volume_args(spec: ServiceSpec, names: DockerNames) -> dict[str, Any]:
    """Return all arguments of the volume of an instance's data."""
    return {"name": names.data_volume(spec.name), "labels": _labels(names.labels(spec.service, spec.name))}


def files_args(
    spec: ServiceSpec, image: ImageSpec, names: DockerNames, *, image_id: str, files: Iterable[ConfigFile], volume: str
) -> dict[str, Any]:
    """Return all properties of a set of files in `volume`; the caller has to seal `secret_files`."""
    chosen = tuple(files)
    return {
        "volume": volume,
        "image": image_id,
        "owner": image.user,
        "files": {file.name: file.content for file in chosen if not file.secret},
        "secret_files": {file.name: file.content for file in chosen if file.secret},
        "labels": names.labels(spec.service, spec.name),
    }


# Words for a container's log; as an exit code 78 states that its configuration is at fault (sysexits.h).
_FOREIGN = "has files but no {marker}: move it away, or restore it from a recovery point"


def start_script(data_dir: str, init: InitStep | None = None, lock_files: Sequence[str] = (), guard: str = "") -> str:
    """Return a POSIX shell script that ends as the program in its arguments; `data_dir` is empty if there are no data.

    New data that a restore left waiting take their place, an empty folder is initialised next to it. A start that was
    killed is simply repeated.
    """
    return "\n".join(("set -eu", "umask 077", *_data(data_dir, init, lock_files, guard), 'exec "$@"'))


def _data(data_dir: str, init: InitStep | None, lock_files: Sequence[str], guard: str) -> Iterator[str]:
    if not data_dir:
        return
    data = shlex.quote(data_dir)
    yield f"data={data}"
    yield '[ -e "$data" ] || [ ! -e "$data.ready" ] || mv "$data.ready" "$data"'
    yield from _initialised(data_dir, init) if init else ('mkdir -p "$data"',)
    if guard:
        yield f'(cd "$data" && sh -c {shlex.quote(guard)}) >&2 || exit 78'
    for name in lock_files:
        yield f'rm -f "$data"/{shlex.quote(name)}'


def _initialised(data_dir: str, init: InitStep) -> Iterator[str]:
    fresh = f"{data_dir}.init-new"
    command = shlex.join(part.replace("{data}", fresh) for part in init.command)
    foreign = shlex.quote(f"{data_dir} {_FOREIGN.format(marker=init.marker)}")
    yield f'if [ ! -e "$data"/{shlex.quote(init.marker)} ]; then'
    yield f'  [ -z "$(ls -A "$data" 2>/dev/null)" ] || {{ echo {foreign} >&2; exit 78; }}'
    yield '  rm -rf "$data".init-*'
    yield f"  {command}"
    yield '  [ ! -e "$data" ] || rmdir "$data"'
    yield f'  sync; mv {shlex.quote(fresh)} "$data"'
    yield "fi"
