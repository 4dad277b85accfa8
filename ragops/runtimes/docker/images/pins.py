"""Which image each service is made from, and which of them this very image is: names move, ids do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ragops.adapters.files import PUBLIC_MODE
from ragops.adapters.state_file import StateFile
from ragops.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ragops.adapters.docker.values import Image
    from ragops.config.load import Project
    from ragops.config.model import Settings


def references(settings: Settings) -> dict[str, str]:
    """Return every image, that of the settings or else the pinned one, by service, or by instance if it has several."""
    found: dict[str, str] = {}
    for service in SERVICES:
        if (section := settings.section(service.name)) is not None:
            found |= service.images(section)
    return found


def is_made_here(settings: Settings, service: str) -> bool:
    """Return whether the image of the service is built from this package, the settings naming no other."""
    found = next((one for one in SERVICES if one.name == service), None)
    return found is not None and found.builds_image and not settings.section(service).image


@dataclass(frozen=True)
class Pin:
    """The image that a reference meant at its first use; `digest` (`name@sha256:…`) is empty without a registry."""

    id: str
    digest: str = ""


class Pins:
    """What the references of one environment mean, kept in `images.json` of its run folder.

    A tag that moves changes nothing by itself: what is used changes if the reference in the settings changes, or
    after `ragops images pull` or `ragops images build`.
    """

    def __init__(self, path: Path) -> None:
        self._file = StateFile(path, dict[str, Pin], PUBLIC_MODE)

    def __getitem__(self, reference: str) -> Pin | None:
        """Return the image that is used for `reference`; None before its first use."""
        return self._all().get(reference)

    def set(self, reference: str, image: Image) -> None:
        """Have `reference` mean this image. Raises RagopsError (not_permitted), MissingError (disk_full)."""
        pins = {**self._all(), reference: Pin(image.id, digest_of(reference, image))}
        self._file.write(dict(sorted(pins.items())))

    def _all(self) -> Mapping[str, Pin]:
        # Without the file the pins are those of the images that are here: at most a tag that moved is read differently.
        return self._file.read() or {}


def pins_of(project: Project) -> Pins:
    """Return the pins of the project's environment."""
    return Pins(project.paths.endpoints.with_name("images.json"))


def digest_of(reference: str, image: Image) -> str:
    """Return the digest of the image in the registry of `reference`; empty if it came from none."""
    repository = repository_of(reference)
    return next((digest for digest in image.digests if digest.partition("@")[0] == repository), "")


def repository_of(reference: str) -> str:
    """Return the reference without tag and digest, as Docker shortens it."""
    name = reference.partition("@")[0]
    path, slash, last = name.rpartition("/")
    return f"{path}{slash}{last.partition(':')[0]}".removeprefix("docker.io/").removeprefix("library/")
