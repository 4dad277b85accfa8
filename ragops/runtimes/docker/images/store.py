"""The images of an environment in the Docker engine: list, pull, build, save and load them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.adapters.docker import build as docker_build
from ragops.adapters.docker.client import DockerHost
from ragops.adapters.progress import Progress
from ragops.errors import MissingError
from ragops.runtimes.contract import ImageState
from ragops.runtimes.docker.images import api_image
from ragops.runtimes.docker.images.pins import digest_of, is_made_here, pins_of, references
from ragops.services.api import IMAGE as API_IMAGE
from ragops.units import size

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ragops.adapters.docker.images import PullProgress
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


class ImageStore:
    """`RuntimeImages` of a project; without one only the image of the API can be built, and no pin is set."""

    def __init__(self, project: Project | None) -> None:
        self._project = project
        self._docker = DockerHost()

    def list(self) -> tuple[ImageState, ...]:
        """Return every image that the environment uses. Raises MissingError (docker_missing)."""
        return tuple(self._state(service, reference) for service, reference in self._references().items())

    def pull(self, on_progress: Callable[[Progress], None], *, renew: bool) -> tuple[ImageState, ...]:
        """Fetch what is missing, all from registries if `renew`, and pin what the references mean now."""
        for service, reference in self._references().items():
            if self._docker.image(reference) is None or (renew and not self._is_made_here(service)):
                self._fetch(service, on_progress)
            self._pin(reference)
        return self.list()

    def build(self, on_progress: Callable[[Progress], None]) -> tuple[ImageState, ...]:
        """Build the API's image unless it is current, and pin it."""
        if self._project is None:
            self._build(API_IMAGE, on_progress)
            found = self._docker.image(API_IMAGE)
            return (ImageState("api", API_IMAGE, "here", found.id if found else "", "", found.size if found else 0),)
        ours = {name: reference for name, reference in self._references().items() if self._is_made_here(name)}
        for reference in ours.values():
            self._build(reference, on_progress)
            self._pin(reference)
        return tuple(self._state(service, reference) for service, reference in ours.items())

    def save(self, target: Path) -> tuple[ImageState, ...]:
        """Write every image of the environment into one tar file. Raises MissingError (image_missing, disk_full)."""
        if wanted := tuple(self._references().values()):
            docker_build.save(self._docker, wanted, target)
        return self.list()

    def load(self, source: Path) -> tuple[ImageState, ...]:
        """Read the images of a tar file, and pin those that the environment uses.

        Raises RagopsError (file_error, docker_failed), MissingError (docker_missing, disk_full).
        """
        loaded = docker_build.load(self._docker, source)
        for reference in self._references().values():
            if reference in loaded:
                self._pin(reference)
        return self.list()

    def _references(self) -> dict[str, str]:
        return references(self._project.settings) if self._project else {}

    def _is_made_here(self, service: str) -> bool:
        return self._project is not None and is_made_here(self._project.settings, service)

    def _fetch(self, service: str, on_progress: Callable[[Progress], None]) -> None:
        if self._project:
            fetch(self._docker, self._project, service, on_progress)

    def _build(self, reference: str, on_progress: Callable[[Progress], None]) -> None:
        if not api_image.is_current(self._docker, reference):
            build_api(self._docker, reference, on_progress)

    def _pin(self, reference: str) -> None:
        """Have the reference mean the image that has its name here, from now on."""
        found = self._docker.image(reference)
        if found is None:
            raise MissingError(
                "image_missing", f"cannot pin the image {reference}: it is not here", "run `ragops images pull`"
            )
        if self._project:
            pins_of(self._project).set(reference, found)

    def _state(self, service: str, reference: str) -> ImageState:
        tagged = self._docker.image(reference)
        pin = pins_of(self._project)[reference] if self._project else None
        used = self._docker.image(pin.id) if pin else None
        found = used or tagged
        if found is None:
            return ImageState(service, reference, "missing")
        state = "here"
        if used and tagged and used.id != tagged.id:
            state = f"the name now means {_short(tagged.id)}"
        elif self._is_made_here(service) and not api_image.is_current(self._docker, reference):
            state = "built from other files than are here now"
        return ImageState(service, reference, state, found.id, digest_of(reference, found), found.size)


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]
