"""The image of the RAG API: made here, from the very package that runs, so that no registry has to have it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tarfile
import tempfile
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING

import ragops
from ragops import DISTRIBUTION, __version__
from ragops.adapters import subprocess_tool
from ragops.adapters.docker import build as docker_build
from ragops.errors import MissingError, RagopsError
from ragops.resources import images_dir
from ragops.runtimes.docker.names import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ragops.adapters.docker.images import DockerImages

CONTENT = f"{PREFIX}content"  # label: digest of what the image was made from
_PACKAGE = Path(ragops.__file__).resolve().parent
_LEFT_OUT = frozenset({"__pycache__", "_bundled"})
# What the operator's side of the package needs and the API never imports: half of the image, and all of Pulumi.
_OPERATORS = frozenset(
    {
        "charset-normalizer",
        "docker",
        "filelock",
        "pathspec",
        "psutil",
        "pulumi",
        "pulumi-docker",
        "rich",
        "semantic-text-splitter",
        "typer",
    }
)
_EXTRAS = r"extra == ['\"](api|static|tracing)['\"]"
_ONLY_ON = {"wordllama": "amd64"}  # there are wheels for no other
_PLATFORMS = {"amd64": "x86_64", "arm64": "aarch64"}
_NEWEST_GLIBC, _OLDEST_GLIBC = 41, 17  # Debian trixie's, and the oldest that wheels are still made for
_PIP_SECONDS = 900.0


def base_image() -> str:
    """Return the reference of the image that it is made from: the default of the Dockerfile's argument BASE."""
    found = re.search(r"^ARG BASE=(\S+)$", _dockerfile(), re.MULTILINE)
    return found[1] if found else ""


def content_digest() -> str:
    """Return the SHA-256 of what the image is made from here: Dockerfile, requirements, every file of the package."""
    digest = hashlib.sha256()
    for text in (_dockerfile(), *requirements(metadata.requires(DISTRIBUTION) or ())):
        digest.update(text.encode() + b"\0")
    for path in _package_files():
        digest.update(str(path.relative_to(_PACKAGE)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_current(docker: DockerImages, reference: str) -> bool:
    """Whether the image is here and made from what the package is now."""
    found = docker.image(reference)
    return found is not None and found.labels.get(CONTENT) == content_digest()


def build(docker: DockerImages, reference: str, architecture: str, notice: Callable[[str], None]) -> None:
    """Build it as `reference` for an engine of `architecture` (amd64, arm64); its base image has to be here.

    Raises MissingError (pip_missing, packages_missing, disk_full), RagopsError (build_failed).
    """
    with tempfile.TemporaryDirectory(prefix="ragops-image-") as folder:
        notice("getting the packages that the API needs")
        _install(Path(folder), architecture)
        with tempfile.TemporaryFile() as context:
            _pack(context, Path(folder))
            context.seek(0)
            notice("building")
            labels, arguments = {CONTENT: content_digest()}, {"BASE": base_image(), "VERSION": __version__}
            docker_build.build(docker, context, reference, labels, arguments, lambda _line: None)


def requirements(lines: Iterable[str]) -> tuple[str, ...]:
    """Return what the API needs of the package's requirements: the package's own and those of its extras for it."""
    found = []
    for line in lines:
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        if _name(requirement) not in _OPERATORS and (not marker or re.search(_EXTRAS, marker)):
            found.append(requirement)
    return tuple(sorted(found))


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-")


def pip_arguments(target: Path, wanted: Sequence[str], architecture: str, python: str) -> tuple[str, ...]:
    """Return arguments that install `wanted` into `target` for another machine: wheels only, nothing is compiled."""
    options = ("--quiet", "--no-input", "--no-user", "--no-compile", "--only-binary=:all:", "--implementation=cp")
    platforms = (f"--platform={platform}" for platform in _platforms(_PLATFORMS.get(architecture, architecture)))
    place = ("--target", str(target), f"--python-version={python}")
    return (sys.executable, "-m", "pip", "install", *options, *platforms, *place, *wanted)


def _platforms(machine: str) -> Iterator[str]:
    """Return every tag of a wheel that runs there; pip takes them at their word, none includes an older one."""
    yield from (f"manylinux_2_{minor}_{machine}" for minor in range(_NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1))
    yield f"manylinux2014_{machine}"


def _install(target: Path, architecture: str) -> None:
    wanted = requirements(metadata.requires(DISTRIBUTION) or ())
    python = re.match(r".*:(\d+\.\d+)", base_image())
    wanted = tuple(one for one in wanted if _ONLY_ON.get(_name(one), architecture) == architecture)
    arguments = pip_arguments(target, wanted, architecture, python[1] if python else "3.13")
    try:
        subprocess_tool.run_tool(arguments, os.environ, _PIP_SECONDS)
    except MissingError:
        raise
    except RagopsError as error:
        if "No module named pip" in error.message:
            hint = f"run `{sys.executable} -m ensurepip --upgrade`"
            raise MissingError(
                "pip_missing", "cannot build the API's image: pip is not installed here", hint
            ) from error
        what = f"cannot fetch the packages of the API's image: {error.message}"
        hint = "check the package index, or bring the image from another machine: `ragops images pull --load FILE`"
        raise MissingError("packages_missing", what, hint) from error
    shutil.rmtree(target / "bin", ignore_errors=True)  # scripts for the Python of this machine


def _pack(context: IO[bytes], packages: Path) -> None:
    """Pack the build context, without owners and times: the same content is the same context."""
    with tarfile.open(fileobj=context, mode="w") as archive:
        archive.add(images_dir() / "api" / "Dockerfile", "Dockerfile", filter=_anonymous)
        for path in _package_files():
            archive.add(path, f"ragops/{path.relative_to(_PACKAGE)}", filter=_anonymous)
        for path in sorted(packages.rglob("*")):
            if path.is_file():
                archive.add(path, f"lib/{path.relative_to(packages)}", filter=_anonymous)


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    info.mode = 0o755 if info.isdir() else 0o644
    return info


def _package_files() -> list[Path]:
    paths = (path for path in sorted(_PACKAGE.rglob("*")) if path.is_file())
    return [path for path in paths if not _LEFT_OUT & set(path.relative_to(_PACKAGE).parts)]


def _dockerfile() -> str:
    return (images_dir() / "api" / "Dockerfile").read_text()
