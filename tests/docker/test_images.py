"""The API's image as it is built, and the images of an environment: listed, fetched, carried, pinned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.docker import build as docker_build
from ragops.config.load import Project
from ragops.config.model import Settings
from ragops.config.paths import ProjectPaths
from ragops.errors import RagopsError
from ragops.operations.lifecycle import images
from ragops.operations.session import Session
from ragops.runtimes.docker.host import DockerRuntimeHost
from ragops.runtimes.docker.images import api_image
from ragops.runtimes.docker.images import store as docker_fetch
from ragops.runtimes.docker.images.pins import pins_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ragops.adapters.docker.client import DockerHost
    from ragops.adapters.progress import Progress

REDIS = "redis:8.0.2"


@pytest.fixture(scope="module")
def api(docker: DockerHost, image: Callable[[str], str], module_mine) -> Iterator[str]:
    """The image of the RAG API under a name of this test's own; its layers come from a cache where there is one."""
    image(api_image.base_image())
    reference = f"{module_mine.prefix}/api:test"
    try:
        said: list[Progress] = []
        docker_fetch.build_api(docker, reference, said.append)
        assert [item.text for item in said if item.final] == ["built"]
        yield reference
    finally:
        docker.api.remove_image(reference, force=True)


def run(docker: DockerHost, name: str, reference: str, *argv: str) -> tuple[int, str]:
    """A command in a container that is confined as the runtime confines it."""
    config = {
        "Image": reference, "Cmd": list(argv), "HostConfig": {
            "ReadonlyRootfs": True, "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"], "NetworkMode": "none",
            "Tmpfs": {"/tmp": "rw,noexec"},
        },
    }  # fmt: skip
    docker.create(name, config)
    docker.start(name)
    code = docker.api.wait(name, timeout=60)["StatusCode"]
    return code, "\n".join(docker.logs(name, 100))


def test_it_is_labelled_by_what_it_is_made_from(docker: DockerHost, api: str) -> None:
    found = docker.image(api)
    assert docker.api.inspect_image(api)["Config"]["User"] == "10001:10001"
    assert found.labels["org.opencontainers.image.version"]
    assert len(found.labels[api_image.CONTENT]) == 64


def test_it_runs_confined_and_as_nobody_in_particular(docker: DockerHost, api: str, mine) -> None:
    ask = "import getpass, os, sys, ragops.api.app; print(getpass.getuser(), os.getuid(), 'pulumi' in sys.modules)"
    assert run(docker, mine.name("who"), api, "python", "-c", ask) == (0, "ragops 10001 False")


def test_it_holds_nothing_of_the_operators(docker: DockerHost, api: str, mine) -> None:
    ask = "import importlib.util as u; print([n for n in ('pulumi', 'docker', 'typer') if u.find_spec(n)])"
    assert run(docker, mine.name("what"), api, "python", "-c", ask) == (0, "[]")


def test_nothing_is_compiled_at_its_start(docker: DockerHost, api: str, mine) -> None:
    ask = "import ragops.api.app as a; print(a.__cached__)"
    code, said = run(docker, mine.name("pyc"), api, "python", "-v", "-c", ask)
    assert code == 0
    assert "# wrote" not in said
    assert "could not create" not in said


def test_without_its_configuration_it_says_what_is_missing(docker: DockerHost, api: str, mine) -> None:
    code, said = run(docker, mine.name("bare"), api)
    assert code != 0
    assert "api_config_unreadable" in said


def test_a_step_that_fails_is_told_with_the_builders_words(docker: DockerHost, mine) -> None:
    import io
    import tarfile

    text = f'FROM {api_image.base_image()}\nRUN ["python", "-c", "raise SystemExit(\'no wheel fits\')"]\n'.encode()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    context.seek(0)
    if docker.image(api_image.base_image()) is None:
        pytest.skip(f"not here: the image {api_image.base_image()}")
    with pytest.raises(RagopsError) as caught:
        docker_build.build(docker, context, mine.name("x"), {}, {}, lambda _: None)
    assert caught.value.code == "build_failed"
    assert "no wheel fits" in caught.value.hint


# --- the images of an environment --------------------------------------------------------------------------------


def use_only(monkeypatch: pytest.MonkeyPatch, wanted: dict[str, str]) -> None:
    """As if the settings of a platform named these images."""
    monkeypatch.setattr(docker_fetch, "references", lambda _settings: dict(wanted))


@pytest.fixture
def session(tmp_path: Path) -> Session:
    settings = Settings(name="test", runtime="docker", observability=False)
    return Session(Project(settings, ProjectPaths(tmp_path, "default"), tmp_path / "x"), "test", lambda _text: None)


def states(found: Any) -> dict[str, str]:
    return {item.service: item.state for item in found}


def test_a_name_that_moves_changes_nothing_until_it_is_said(
    docker: DockerHost, image: Callable, mine, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = image(REDIS), image(api_image.base_image())
    name = f"{mine.prefix}/redis"
    use_only(monkeypatch, {"redis": f"{name}:1"})
    machine = DockerRuntimeHost(session.project)
    try:
        docker.api.tag(first, name, "1")
        assert states(images.list_images(session.project)) == {"redis": "here"}
        docker_fetch.fetch_missing(docker, session.project, lambda _: None)
        docker.api.tag(second, name, "1")
        docker_fetch.fetch_missing(docker, session.project, lambda _: None)
        assert machine.image_id(f"{name}:1") == first
        assert "now means" in states(images.list_images(session.project))["redis"]
        images.pull_images(session, lambda _: None, renew=False)
        assert machine.image_id(f"{name}:1") == second
        assert states(images.list_images(session.project)) == {"redis": "here"}
    finally:
        docker.api.remove_image(f"{name}:1")


def test_an_image_that_cannot_be_had_is_missing(
    docker: DockerHost, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_only(monkeypatch, {"redis": "localhost:1/ragops/nowhere:1"})
    assert states(images.list_images(session.project)) == {"redis": "missing"}
    with pytest.raises(RagopsError) as caught:
        images.pull_images(session, lambda _: None, renew=False)
    assert (caught.value.code, caught.value.exit_code) == ("image_missing", 7)
    assert pins_of(session.project)["localhost:1/ragops/nowhere:1"] is None


def test_images_are_carried_as_one_file(
    docker: DockerHost, image: Callable, mine, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{mine.prefix}/carried:1"
    docker.api.tag(image(REDIS), f"{mine.prefix}/carried", "1")
    use_only(monkeypatch, {"redis": name})
    try:
        images.save_images(session.project, tmp_path / "images.tar")
        assert (tmp_path / "images.tar").stat().st_mode & 0o777 == 0o600
        docker.api.remove_image(name)
        assert states(images.load_images(session, tmp_path / "images.tar")) == {"redis": "here"}
        assert pins_of(session.project)[name].id == image(REDIS)
    finally:
        if docker.image(name):
            docker.api.remove_image(name)
    assert [path.name for path in tmp_path.glob("*.part")] == []


def test_a_file_that_is_no_image_says_so(docker: DockerHost, session: Session, tmp_path: Path) -> None:
    (tmp_path / "images.tar").write_text("no tar")
    with pytest.raises(RagopsError) as caught:
        images.load_images(session, tmp_path / "images.tar")
    assert caught.value.code == "docker_failed"
    with pytest.raises(RagopsError) as caught:
        images.load_images(session, tmp_path / "nothing.tar")
    assert caught.value.code == "file_error"


def test_the_command_lists_them(docker: DockerHost, project: Path, ragops: Any) -> None:
    config = project / "ragops.yaml"
    config.write_text(config.read_text().replace("runtime: embedded", "runtime: docker"))
    done = ragops("images", "list", "--json", cwd=project)
    assert done.code == 0, done.err
    listed = {item["service"]: item for item in json.loads(done.out)}
    assert listed["redis"]["reference"] == REDIS
    assert listed["api"]["reference"].startswith("ragops/api:")
