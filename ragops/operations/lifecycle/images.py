"""The container images of an environment: which there are, fetching, building, carrying them to another machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.docker import build as docker_build
from ragops.adapters.docker.client import DockerHost
from ragops.errors import MissingError
from ragops.runtimes.docker.images import api_image
from ragops.runtimes.docker.images import fetch as docker_fetch
from ragops.runtimes.docker.images.pins import digest_of, is_made_here, pins_of, references
from ragops.services.api import IMAGE as API_IMAGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ragops.adapters.progress import Progress
    from ragops.config.load import Project
    from ragops.operations.session import Session


@dataclass(frozen=True)
class ImageState:
    """The image of one service; `id`, `digest` and `size` (bytes) are empty where it is not here.

    `state` is `here`, `missing`, or words for what the next `ragops images pull` or `build` would change.
    """

    service: str
    reference: str
    state: str
    id: str = ""
    digest: str = ""
    size: int = 0


def used_images(project: Project) -> dict[str, str]:
    """The reference of every service's image; none where the runtime uses no images."""
    return references(project.settings) if project.settings.runtime == "docker" else {}


def list_images(project: Project) -> tuple[ImageState, ...]:
    """Every image that the environment uses, and whether it is here. Raises MissingError (docker_missing)."""
    wanted, docker = used_images(project), DockerHost()
    return tuple(_state(docker, project, service, reference) for service, reference in wanted.items())


def _state(docker: DockerHost, project: Project, service: str, reference: str) -> ImageState:
    pin, tagged = pins_of(project)[reference], docker.image(reference)
    used = docker.image(pin.id) if pin else None
    found = used or tagged
    if found is None:
        return ImageState(service, reference, "missing")
    state = "here"
    if used and tagged and used.id != tagged.id:
        state = f"the name now means {_short(tagged.id)}"
    elif is_made_here(project.settings, service) and not api_image.is_current(docker, reference):
        state = "built from other files than are here now"
    return ImageState(service, reference, state, found.id, digest_of(reference, found), found.size)


def pull_images(session: Session, on_progress: Callable[[Progress], None], *, renew: bool) -> tuple[ImageState, ...]:
    """Fetch what is missing, all that comes from a registry if `renew`, and use what the names mean now.

    The API's image is built where it is missing. Raises MissingError (docker_missing, image_missing, disk_full).
    """
    project, docker = session.project, DockerHost()
    with session.changing():
        for service, reference in used_images(project).items():
            made_here = is_made_here(project.settings, service)
            if docker.image(reference) is None or (renew and not made_here):
                docker_fetch.fetch(docker, project, service, on_progress)
            _use(docker, project, reference)
        return list_images(project)


def build_image(session: Session | None, on_progress: Callable[[Progress], None]) -> tuple[ImageState, ...]:
    """Build the RAG API's image where it is missing or made from other files; it is what the next `up` uses.

    Without a project it is only built. Raises MissingError (docker_missing, image_missing, pip_missing, disk_full),
    RagopsError (build_failed).
    """
    docker = DockerHost()
    if session is None:
        _build(docker, API_IMAGE, on_progress)
        found = docker.image(API_IMAGE)
        return (ImageState("api", API_IMAGE, "here", found.id if found else "", "", found.size if found else 0),)
    project = session.project
    ours = {name: ref for name, ref in used_images(project).items() if is_made_here(project.settings, name)}
    with session.changing():
        for reference in ours.values():
            _build(docker, reference, on_progress)
            _use(docker, project, reference)
    return tuple(_state(docker, project, service, reference) for service, reference in ours.items())


def save_images(project: Project, target: Path) -> tuple[ImageState, ...]:
    """Write every image of the environment into one tar file. Raises MissingError (image_missing, disk_full)."""
    docker = DockerHost()
    if wanted := used_images(project):
        docker_build.save(docker, tuple(wanted.values()), target)
    return list_images(project)


def load_images(session: Session, source: Path) -> tuple[ImageState, ...]:
    """Read the images of a tar file that `save_images` or `docker save` wrote, and use what their names mean now.

    Raises RagopsError (file_error, docker_failed), MissingError (docker_missing, disk_full).
    """
    docker = DockerHost()
    with session.changing():
        loaded = docker_build.load(docker, source)
        for reference in used_images(session.project).values():
            if reference in loaded:
                _use(docker, session.project, reference)
        return list_images(session.project)


def _build(docker: DockerHost, reference: str, on_progress: Callable[[Progress], None]) -> None:
    if not api_image.is_current(docker, reference):
        docker_fetch.build_api(docker, reference, on_progress)


def _use(docker: DockerHost, project: Project, reference: str) -> None:
    """From now on the reference means the image that has its name here."""
    found = docker.image(reference)
    if found is None:
        raise MissingError("image_missing", f"the image {reference} is not here", "run `ragops images pull`")
    pins_of(project).set(reference, found)


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]
