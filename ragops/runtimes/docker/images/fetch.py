"""Pull images from their registries, and build those that are made from this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.progress import Progress
from ragops.runtimes.docker.images import api_image
from ragops.runtimes.docker.images.pins import is_made_here, pins_of, references
from ragops.units import size

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.adapters.docker.client import DockerHost
    from ragops.adapters.docker.pull import PullProgress
    from ragops.config.load import Project

    OnProgress = Callable[[Progress], None]


def fetch_missing(docker: DockerHost, project: Project, on_progress: OnProgress) -> None:
    """Have every image of the project here, and keep which one each reference meant at its first use.

    Raises MissingError (image_missing, disk_full) and what `api_image.build` raises.
    """
    pins = pins_of(project)
    for service, reference in references(project.settings).items():
        pin = pins[reference]
        if pin and docker.image(pin.id):
            continue
        found = docker.image(reference)
        if found is None and pin and pin.digest and not is_made_here(project.settings, service):
            found = docker.pull(pin.digest, lambda done: on_progress(_pulling(done)))
        if found is None:
            fetch(docker, project, service, on_progress)
            found = docker.image(reference)
        if found:
            pins.set(reference, found)


def fetch(docker: DockerHost, project: Project, service: str, on_progress: OnProgress) -> None:
    """Pull the image of one service, or build it, whether it is here or not."""
    reference = references(project.settings)[service]
    if is_made_here(project.settings, service):
        build_api(docker, reference, on_progress)
    else:
        pull(docker, reference, on_progress)


def pull(docker: DockerHost, reference: str, on_progress: OnProgress) -> None:
    """Pull one image. Raises MissingError (image_missing, disk_full)."""
    on_progress(Progress(reference, "pulling"))
    image = docker.pull(reference, lambda done: on_progress(_pulling(done)))
    on_progress(Progress(reference, f"pulled ({size(image.size)})", final=True))


def build_api(docker: DockerHost, reference: str, on_progress: OnProgress) -> None:
    """Build the image of the RAG API as `reference`; its base is pulled first if it is not here.

    Raises MissingError (image_missing) and what `api_image.build` raises.
    """
    base = api_image.base_image()
    if docker.image(base) is None:
        pull(docker, base, on_progress)
    architecture = docker.engine().architecture
    api_image.build(docker, reference, architecture, lambda text: on_progress(Progress(reference, text)))
    on_progress(Progress(reference, "built", final=True))


def _pulling(done: PullProgress) -> Progress:
    """Return how far a pull is; by layers at its start and while it unpacks, else by bytes."""
    layers = f"{done.layers_done} of {done.layers} layers"
    if not done.total:
        return Progress(done.reference, f"pulling, {layers}")
    percent = 100 * done.done // done.total
    text = f"pulling {percent}%, {size(done.done)} of {size(done.total)}, {layers}"
    return Progress(done.reference, text)
