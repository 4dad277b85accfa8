"""The container images of an environment: list, fetch and build them, carry them to another machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragops.errors import UsageError
from ragops.runtimes import registry

if TYPE_CHECKING:
    from pathlib import Path

    from ragops.adapters.progress import OnProgress
    from ragops.config.load import Project
    from ragops.operations.session import Session
    from ragops.runtimes.contract import ImageState


def list_images(project: Project) -> tuple[ImageState, ...]:
    """Return every image that the environment uses; none if its runtime uses no images.

    Raises MissingError (docker_missing).
    """
    images = registry.images_of(project)
    return images.list() if images else ()


def pull_images(session: Session, on_progress: OnProgress, *, renew: bool) -> tuple[ImageState, ...]:
    """Fetch the images that are missing, all that come from a registry if `renew`, and use what the names mean now.

    The API's image is built if it is missing. Raises MissingError (docker_missing, image_missing, disk_full).
    """
    images = registry.images_of(session.project)
    with session.changing():
        return images.pull(on_progress, renew=renew) if images else ()


def build_image(session: Session | None, on_progress: OnProgress) -> tuple[ImageState, ...]:
    """Build the RAG API's image if it is missing or made from other files; the next `up` uses it.

    Without a project it is only built. Raises MissingError (docker_missing, image_missing, pip_missing, disk_full),
    RagopsError (build_failed).
    """
    if session is None:
        images = registry.images_of(None)
        if images is None:
            raise UsageError("no_images", "cannot build an image: no runtime uses any", "use a runtime of containers")
        return images.build(on_progress)
    images = registry.images_of(session.project)
    with session.changing():
        return images.build(on_progress) if images else ()


def save_images(project: Project, target: Path) -> tuple[ImageState, ...]:
    """Write every image of the environment into one tar file. Raises MissingError (image_missing, disk_full)."""
    images = registry.images_of(project)
    return images.save(target) if images else ()


def load_images(session: Session, source: Path) -> tuple[ImageState, ...]:
    """Read the images of a tar file that `save_images` or `docker save` wrote, and use what their names mean now.

    Raises RagopsError (file_error, docker_failed), MissingError (docker_missing, disk_full).
    """
    images = registry.images_of(session.project)
    with session.changing():
        return images.load(source) if images else ()
