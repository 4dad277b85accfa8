"""Images: those that are here, and fetching those that are not."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragops.adapters.docker import values
from ragops.adapters.docker.api import DockerApi
from ragops.adapters.docker.errors import NotFoundError
from ragops.errors import MissingError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_HERE = ("Already exists", "Pull complete")
_LOADED = ("Download complete", "Verifying Checksum", "Extracting", *_HERE)


@dataclass(frozen=True)
class PullProgress:
    """The progress of a pull: bytes downloaded of those known so far, layers in place of all."""

    reference: str
    done: int
    total: int
    layers_done: int
    layers: int


@dataclass
class _Layer:
    done: int = 0
    total: int = 0
    here: bool = False


class PullState:
    """Adds up the events of one image, those of a repeated attempt included."""

    def __init__(self, reference: str) -> None:
        self._reference = reference
        self._layers: dict[str, _Layer] = {}

    def feed(self, event: Mapping[str, Any]) -> bool:
        """Take in one event of the API; returns whether the progress changed."""
        status, name = str(event.get("status", "")), str(event.get("id", ""))
        if not name or status.startswith(("Pulling from", "Digest", "Status")):
            return False
        before = self.progress
        layer = self._layers.setdefault(name, _Layer())
        detail = event.get("progressDetail") or {}
        if status == "Downloading":
            layer.total = max(layer.total, int(detail.get("total") or 0))
            layer.done = max(layer.done, int(detail.get("current") or 0))
        elif status.startswith(_LOADED):
            layer.done = layer.total
            layer.here = layer.here or status.startswith(_HERE)
        return self.progress != before

    @property
    def progress(self) -> PullProgress:
        """Return the current progress."""
        layers = self._layers.values()
        return PullProgress(
            self._reference,
            sum(layer.done for layer in layers),
            sum(layer.total for layer in layers),
            sum(layer.here for layer in layers),
            len(self._layers),
        )


DOCKER_HUB = "Docker Hub"
_ATTEMPTS = 5
_PULLING = "pull it"
_NO_USE_TO_RETRY = (
    "not found", "manifest unknown", "denied", "unauthorized", "no matching manifest", "invalid", "no such host",
)  # fmt: skip


class _InterruptedPullError(Exception):
    """A pull that broke off and may be resumed."""


class DockerImages(DockerApi):
    """The part of `DockerHost` about images."""

    def image_id(self, reference: str) -> str | None:
        """Return the id (`sha256:…`) of a local image, None if there is none."""
        found = self.image(reference)
        return found.id if found else None

    def image(self, reference: str) -> values.Image | None:
        """Return a local image by name, digest or id; None if there is none."""
        with suppress(NotFoundError), self.translate_errors(f"inspect the image {reference}"):
            return values.image(self.api.inspect_image(reference))  # type: ignore[no-untyped-call]
        return None

    def pull(self, reference: str, on_progress: Callable[[PullProgress], None] = lambda _: None) -> values.Image:
        """Fetch an image from its registry; an interrupted pull is resumed, five times at most.

        Raises MissingError (image_missing) if the registry does not give it.
        """
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

        state = PullState(reference)
        waiting = wait_exponential_jitter(initial=1, max=20)
        retrying = Retrying(
            stop=stop_after_attempt(_ATTEMPTS), wait=waiting, retry=retry_if_exception_type(_InterruptedPullError),
            reraise=True,
        )  # fmt: skip
        try:
            retrying(self._pull_once, reference, state, on_progress)
        except _InterruptedPullError as error:
            raise _not_had(reference, str(error)) from error
        found = self.image(reference)
        if found is None:
            raise _not_had(reference, "Docker fetched it and does not have it")
        return found

    def _pull_once(self, reference: str, state: PullState, on_progress: Callable[[PullProgress], None]) -> None:
        try:
            with self.translate_errors(_PULLING):
                name, tag = _repository_and_tag(reference)
                for event in self.api.pull(name, tag=tag, stream=True, decode=True):
                    if reason := _error_of(event):
                        raise _failure(reference, reason)
                    if state.feed(event):
                        on_progress(state.progress)
        except MissingError:
            raise
        except RagopsError as error:
            raise _failure(reference, error.message.removeprefix(f"cannot {_PULLING}: Docker: ")) from error


def _repository_and_tag(reference: str) -> tuple[str, str]:
    from docker.utils import parse_repository_tag

    name, tag = parse_repository_tag(reference)
    return name, tag or "latest"


def _error_of(event: Any) -> str:
    return str(event.get("error") or "") if isinstance(event, dict) else ""


def _failure(reference: str, reason: str) -> Exception:
    """Return what is worth another attempt, or the final failure."""
    if "no space left on device" in reason:
        what = f"cannot pull {reference}: no space left on the device"
        return MissingError("disk_full", what, "free some space where Docker keeps its data, then run it again")
    if _LIMITED.search(reason):
        return _limited(reference, reason)
    if any(word in reason.lower() for word in _NO_USE_TO_RETRY):
        return _not_had(reference, reason)
    return _InterruptedPullError(reason)


_LIMITED = re.compile(r"too ?many ?requests|rate limit|\b429\b", re.IGNORECASE)


def _limited(reference: str, reason: str) -> MissingError:
    """Return the error of a registry's pull limit: anonymous pulls are counted by address, which may be shared."""
    name = registry_of(reference)
    what = f"cannot pull {reference}: {name} refuses, too many requests from this address (429): {reason}"
    login = "`docker login`" if name == DOCKER_HUB else f"`docker login {name}`"
    hint = (
        f"log in, which raises the limit: {login}; or wait, up to six hours on Docker Hub; or bring the image from"
        f" another machine: `docker save {reference} | ssh HOST docker load`"
    )
    return MissingError("registry_limit", what, hint)


def registry_of(reference: str) -> str:
    """Return the registry of an image's name, as Docker reads it: the first part if it has the form of a host."""
    first, slash, _rest = reference.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return first if is_host and first not in ("docker.io", "index.docker.io") else DOCKER_HUB


def _not_had(reference: str, reason: str) -> MissingError:
    hint = (
        f"check the name and the network, log in with `docker login` if the registry wants it, or bring the image "
        f"from another machine: `docker save {reference} | ssh HOST docker load`"
    )
    return MissingError("image_missing", f"cannot fetch the image {reference}: {reason}", hint)
