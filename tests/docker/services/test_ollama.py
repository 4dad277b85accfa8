"""Ollama as a service of the stack, on a small server of its protocol: Ollama itself is in no package registry."""

from __future__ import annotations

import contextlib
import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.docker.build import build
from ragops.adapters.pulumi import install as pulumi_install
from ragops.adapters.pulumi.engine import PulumiStack
from ragops.adapters.pulumi.events import Action
from ragops.adapters.pulumi.options import StackOptions
from ragops.embedding import make
from ragops.embedding.spec import ModelSpec
from ragops.errors import RagopsError
from ragops.operations.lifecycle.plan_diff import changes, drifted
from ragops.runtimes.docker.names import DockerNames
from ragops.runtimes.docker.runtime import DockerRuntime
from ragops.services.contract import Declaration, Status
from ragops.services.ollama.component import Ollama, endpoint, image_spec
from ragops.services.ollama.health import probe
from ragops.services.ollama.settings import OllamaSettings
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragops.adapters.docker.client import DockerHost

pytestmark = pytest.mark.engine

PYTHON = "python:3.13-slim-trixie"
DOCKERFILE = f"FROM {PYTHON}\nCOPY ollama /usr/bin/ollama\n"
MODELS = ("nomic-embed-text", "llama3.2")


def context() -> io.BytesIO:
    script = (Path(__file__).parent / "ollama_server.py").read_bytes()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content, mode in (("Dockerfile", DOCKERFILE.encode(), 0o644), ("ollama", script, 0o755)):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    packed.seek(0)
    return packed


def test_the_models_are_there_before_what_needs_them(
    docker: DockerHost, plugin: Path, image: Callable[[str], str], mine: Any, tmp_path: Path
) -> None:
    engine = pulumi_install.find()
    if engine is None:
        pytest.skip("not here: the Pulumi engine (ragops engine install)")
    image(PYTHON)
    reference = f"{mine.name()}-ollama:1.0.0"
    build(docker, context(), reference, arguments={}, labels={}, on_line=print)
    port = free_port()
    settings = OllamaSettings(models=MODELS, port=port, image=reference, memory="256mb")
    image_id = docker.image_id(reference)
    runtime = DockerRuntime(DockerNames(mine.name(), "default"), {}, lambda _reference: image_id or "")
    options = StackOptions("ollama", "default", tmp_path / "pulumi", tmp_path / "passphrase")
    stack = PulumiStack(engine, options, lambda: _program(settings, runtime))
    where = endpoint(settings, runtime, runtime.layout("ollama", image_spec(settings)))
    try:
        made = {change.resource for change in changes(stack.up().steps)}
        assert {"ollama", "ollama-ready", "ollama-models"} <= made
        assert probe(where, 10).status is Status.OK
        assert make(ModelSpec(kind="ollama", url=f"http://127.0.0.1:{port}", model=MODELS[0])).dimensions == 3
        assert changes(stack.preview()) == ()
        container = runtime.runtime_id("ollama")
        docker.exec(container, ("rm", f"/var/lib/ollama/current/models/{MODELS[1]}:latest"))
        assert {item.resource: item.detail for item in drifted(stack.drift())} == {
            "ollama-models": f"missing {MODELS[1]}"
        }
        assert [(change.resource, change.action) for change in changes(stack.up().steps)] == [
            ("ollama-models", Action.UPDATE)
        ]
        assert probe(where, 10).status is Status.OK
    finally:
        with contextlib.suppress(RagopsError):
            stack.unprotect()
            stack.destroy()
        docker.api.remove_image(reference, force=True)


def _program(settings: OllamaSettings, runtime: DockerRuntime) -> None:
    Ollama(Declaration(settings, "rag", {}, runtime))
