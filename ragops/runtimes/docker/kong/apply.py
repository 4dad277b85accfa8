"""Applies a configuration to Kong's container: judged by Kong, taken over hot, smoke-tested, else undone.

What lies in the volume was last seen to work: it is written when all else is done, so that whatever is interrupted, a
Kong that restarts starts with something that worked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping  # noqa: TC003  pydantic reads the annotation
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ragops.errors import MissingError, RagopsError
from ragops.runtimes.docker.containers import files as docker_files
from ragops.runtimes.docker.containers.files import FileSet
from ragops.runtimes.docker.kong import admin
from ragops.runtimes.gateway_smoke import back_in_force, live_configuration, live_in_every_worker, rest
from ragops.services.gateway.kong_configuration import DOCUMENT, USER

if TYPE_CHECKING:
    from ragops.adapters.docker.client import DockerHost
    from ragops.services.gateway.kong_configuration import KongConfiguration

_PARSE_SECONDS = 60.0
_LOOK = "/files"
_SCRATCH = "/dev/shm"  # noqa: S108  in memory alone: the text holds the certificate's key
_PARSE = f"umask 077 && cat > {_SCRATCH}/{DOCUMENT} && exec kong config parse {_SCRATCH}/{DOCUMENT}"
_NOISE = ("Run with --v", "Error: Failed parsing:")


@dataclass(frozen=True)
class KongPlace:
    """Where Kong is: its container, the volume of its hot files, the id of its image, labels of what is made for it."""

    container: str
    volume: str
    image: str
    labels: Mapping[str, str] = field(default_factory=dict)


def apply(docker: DockerHost, place: KongPlace, wanted: KongConfiguration) -> None:
    """Make Kong do what is in `wanted`, or leave it as it was.

    One that does not run, or is about to be replaced, gets its file unasked. Raises RagopsError: gateway_config_invalid
    (nothing was touched), gateway_smoke_failed (the last good configuration is back), gateway_silent.
    """
    if not can_be_asked(docker, place, wanted):
        validate(docker, place, wanted)
        store(docker, place, wanted)
        return
    mark = live_configuration(wanted.smoke[0])
    admin.post_configuration(docker, place.container, wanted.document)
    if failure := live_in_every_worker(wanted.smoke[0]) or rest(wanted.smoke):
        raise _undone(docker, place, wanted, mark, failure)
    store(docker, place, wanted)
    if live_in_every_worker(wanted.smoke[0]):  # it was restarted since, with the file as it was
        admin.post_configuration(docker, place.container, wanted.document)


def validate(docker: DockerHost, place: KongPlace, wanted: KongConfiguration) -> None:
    """Let a Kong of the same image and settings judge the text, away from the one that works.

    Raises RagopsError (gateway_config_invalid).
    """
    done = docker.run_once(
        f"{place.container}.check",
        place.image,
        ("sh", "-c", _PARSE),
        user=USER,
        input=wanted.document.encode(),
        env={**wanted.environment, "KONG_PREFIX": f"{_SCRATCH}/kong"},
        labels=place.labels,
        limit=_PARSE_SECONDS,
    )
    if done.code != 0:
        raise admin.refused(_error_excerpt(done.error_text))


def store(docker: DockerHost, place: KongPlace, wanted: KongConfiguration) -> None:
    """Put the text where Kong starts from, readable by Kong alone, in one step."""
    files = FileSet(place.volume, place.image, USER, {}, {DOCUMENT: wanted.document}, place.labels)
    docker_files.write(docker, files)


def stored(docker: DockerHost, place: KongPlace) -> str:
    """Return the text that Kong would start with; empty if there is none. Raises MissingError (image_missing)."""
    if docker.volume(place.volume) is None:
        return ""
    if docker.image(place.image) is None:
        raise MissingError(
            "image_missing",
            f"cannot read the gateway's configuration: the image {place.image} is gone",
            "run `ragops images pull`",
        )
    with docker.created(f"{place.volume}.look", place.image, mounts={place.volume: _LOOK}):
        return (docker.read_file(f"{place.volume}.look", f"{_LOOK}/.data/{DOCUMENT}") or b"").decode()


def can_be_asked(docker: DockerHost, place: KongPlace, wanted: KongConfiguration) -> bool:
    """Whether the very container that `wanted` is for runs: one made otherwise is about to be replaced."""
    found = docker.container(place.container)
    if found is None or not found.state.running or found.image_id != place.image:
        return False
    ports = {port.inner: port.port for port in found.ports}
    settings = {f"{name}={value}" for name, value in wanted.environment.items()}
    return ports == dict(wanted.ports) and settings <= set(found.environment)


def digest(document: str) -> str:
    """Return the SHA-256 of a stored text."""
    return hashlib.sha256(document.encode()).hexdigest()


def _undone(
    docker: DockerHost, place: KongPlace, wanted: KongConfiguration, mark: str | None, failure: str
) -> RagopsError:
    """Have Kong take again what lies in the volume; the error states whether it works by `mark`, as it did before."""
    outcome = "there was no earlier configuration to go back to"
    if before := stored(docker, place):
        try:
            admin.post_configuration(docker, place.container, before)
            outcome = back_in_force(wanted.smoke[0], mark)
        except RagopsError as error:
            outcome = f"the last good one could not be put back ({error.message}): restart it, it starts with that"
    return RagopsError(
        "gateway_smoke_failed",
        f"cannot apply the gateway's configuration: it fails its smoke test: {failure}; {outcome}",
        "`ragops logs gateway` may show why; `ragops gateway diff` shows what is new",
    )


def _error_excerpt(output: str) -> str:
    """Return what is wrong, one line for each thing."""
    lines = [line.strip() for line in output.splitlines()]
    return "\n".join(line for line in lines if line and not line.startswith(_NOISE))[-1500:] or "no reason given"
