"""Making images here, and carrying them as files to machines that reach no registry."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from typing import IO, TYPE_CHECKING

from ragops.adapters.files import SECRET_MODE, explain_os_error
from ragops.errors import MissingError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from ragops.adapters.docker.images import DockerImages

_BLOCK = 1 << 20
_QUOTED_LINES = 12
_SILENCE = 600  # seconds that a step may work without a word


def build(
    docker: DockerImages,
    context: IO[bytes],
    tag: str,
    labels: Mapping[str, str],
    arguments: Mapping[str, str],
    on_line: Callable[[str], None],
) -> None:
    """Build the tar file `context` (with its Dockerfile) as `tag`, by the builder that every engine has.

    Its steps have no network, and its base image has to be here. Raises RagopsError (build_failed) with the builder's
    last words, MissingError (disk_full).
    """
    lines: deque[str] = deque(maxlen=_QUOTED_LINES)
    with docker.translate_errors(f"build {tag}"):
        events = docker.api.build(
            fileobj=context, custom_context=True, tag=tag, buildargs=dict(arguments), labels=dict(labels),
            rm=True, forcerm=True, network_mode="none", use_config_proxy=False, decode=True, timeout=_SILENCE,
        )  # fmt: skip
        for event in events:
            if error := event.get("error"):
                raise _build_failed(tag, str(error), lines)
            if line := str(event.get("stream") or event.get("status") or "").strip():
                lines.append(line)
                on_line(line)


def _build_failed(tag: str, error: str, lines: Iterable[str]) -> RagopsError:
    if "no space left on device" in error:
        what = f"cannot build {tag}: no space left on the device"
        return MissingError("disk_full", what, "free some space where Docker keeps its data, then run it again")
    tail = "\n".join(f"  {line}" for line in lines)
    return RagopsError("build_failed", f"cannot build {tag}: {error}", f"the end of the build log:\n{tail}")


def save(docker: DockerImages, references: Sequence[str], target: Path) -> None:
    """Write the images with their names into one tar file, readable by us alone; leaves no half one.

    Raises MissingError (image_missing, disk_full), RagopsError (not_permitted, file_error, docker_failed).
    """
    for reference in references:
        if docker.image(reference) is None:
            what = f"cannot save the image {reference}: it is not here"
            raise MissingError("image_missing", what, "`ragops images pull` fetches what is missing")
    half = target.with_name(f".{target.name}.part")
    try:
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, SECRET_MODE), "wb") as file:
            _write_images(docker, references, file)
        half.replace(target)
    except OSError as error:
        raise explain_os_error(error, f"write {target}") from error
    finally:
        half.unlink(missing_ok=True)


def _write_images(docker: DockerImages, references: Sequence[str], file: IO[bytes]) -> None:
    with docker.translate_errors(f"save {', '.join(references)}"):  # docker-py's own call takes one image only
        blocks = docker.get_stream("images/get", _SILENCE, names=list(references)).iter_content(_BLOCK)
    while True:
        with docker.translate_errors(f"save {', '.join(references)}"):
            block = next(blocks, b"")
        if not block:
            return
        file.write(block)


def load(docker: DockerImages, source: Path) -> tuple[str, ...]:
    """Read the images of a tar file; returns their names. Raises RagopsError (file_error, docker_failed)."""
    try:
        file = source.open("rb")
    except OSError as error:
        raise explain_os_error(error, f"read {source}") from error
    names: list[str] = []
    with contextlib.closing(file), docker.translate_errors(f"load {source}"):
        for event in docker.api.load_image(file):  # type: ignore[no-untyped-call]
            if error_text := event.get("error"):
                raise RagopsError(
                    "docker_failed", f"cannot load {source}: {error_text}", "check that the file is complete"
                )
            text = str(event.get("stream") or "").strip()
            if text.startswith("Loaded image"):
                names.append(text.partition(": ")[2])
    return tuple(names)
