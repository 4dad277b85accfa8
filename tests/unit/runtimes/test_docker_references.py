"""What a reference means: pinned at its first use, whatever its tag does afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ragops.adapters.docker.values import Image
from ragops.config.model import Settings
from ragops.runtimes.docker.images.pins import Pin, Pins, digest_of, is_made_here, references, repository_of
from ragops.services.api import IMAGE

if TYPE_CHECKING:
    from pathlib import Path

SHA = "sha256:" + "a" * 64


def image(*digests: str, image_id: str = SHA) -> Image:
    return Image(image_id, digests, 1, {})


def test_a_pin_survives_the_run_that_made_it(tmp_path: Path) -> None:
    path = tmp_path / "run" / "images.json"
    assert Pins(path)["redis:8.0.2"] is None
    Pins(path).set("redis:8.0.2", image(f"redis@{SHA}"))
    Pins(path).set("kong:3.9.1", image(image_id="sha256:b"))
    assert Pins(path)["redis:8.0.2"] == Pin(SHA, f"redis@{SHA}")
    assert Pins(path)["kong:3.9.1"] == Pin("sha256:b", "")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"redis:8.0.2": 1}', '{"redis:8.0.2": {"digest": "x"}}'])
def test_a_broken_file_is_made_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "images.json"
    path.write_text(text)
    assert Pins(path)["redis:8.0.2"] is None
    Pins(path).set("redis:8.0.2", image())
    assert Pins(path)["redis:8.0.2"] == Pin(SHA)


@pytest.mark.parametrize(
    ("reference", "repository"),
    [
        ("redis:8.0.2", "redis"),
        ("docker.io/library/redis:8", "redis"),
        ("docker.io/qdrant/qdrant:v1", "qdrant/qdrant"),
        ("reg.example:5000/team/x", "reg.example:5000/team/x"),
        (f"reg.example:5000/x:1@{SHA}", "reg.example:5000/x"),
    ],
)
def test_repository_of_a_reference(reference: str, repository: str) -> None:
    assert repository_of(reference) == repository


def test_the_digest_is_that_of_the_references_own_repository() -> None:
    found = image("mirror.example/redis@sha256:1", "redis@sha256:2")
    assert digest_of("redis:8", found) == "redis@sha256:2"
    assert digest_of("other:8", found) == ""


def test_the_apis_image_is_made_here() -> None:
    settings = Settings(name="x", runtime="docker", observability=False)
    assert references(settings)["api"] == IMAGE
    assert is_made_here(settings, "api")
    assert not is_made_here(settings, "redis")
