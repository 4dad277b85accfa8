"""The engine is the one that the docker command takes: its own files, as it writes them."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.docker import context
from ragops.adapters.docker.client import DockerHost
from ragops.adapters.docker.context import DEFAULT_URL, find_docker_endpoint
from ragops.adapters.docker.images import _failure, registry_of
from ragops.errors import ExitCode, MissingError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def make_context(folder: Path, name: str, host: str, *, tls: bool = False, **more: Any) -> None:
    ident = hashlib.sha256(name.encode()).hexdigest()
    meta = folder / "contexts" / "meta" / ident / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, **more}}}))
    if tls:
        (folder / "contexts" / "tls" / ident / "docker").mkdir(parents=True)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / ".docker"
    folder.mkdir()
    make_context(folder, "far", "tcp://10.0.0.5:2376", tls=True, SkipTLSVerify=True)
    make_context(folder, "rootless", "unix:///run/user/1000/docker.sock")
    make_context(folder, "away", "ssh://ada@far.example")
    return tmp_path


def chosen(home: Path, current: str) -> dict[str, str]:
    (home / ".docker" / "config.json").write_text(json.dumps({"currentContext": current}))
    return {"HOME": str(home), "XDG_RUNTIME_DIR": str(home)}


def test_variables_go_before_contexts_and_the_host_before_all(home: Path) -> None:
    variables = chosen(home, "far")
    assert find_docker_endpoint(variables).url == "tcp://10.0.0.5:2376"
    assert find_docker_endpoint({**variables, "DOCKER_CONTEXT": "rootless"}).url == "unix:///run/user/1000/docker.sock"
    both = {**variables, "DOCKER_CONTEXT": "rootless", "DOCKER_HOST": "tcp://127.0.0.1:1"}
    assert find_docker_endpoint(both).url == "tcp://127.0.0.1:1"
    assert find_docker_endpoint({**variables, "DOCKER_CONTEXT": "default"}).source == "default"
    assert (
        find_docker_endpoint({"HOME": "/nowhere", "DOCKER_CONFIG": str(home / ".docker")}).url == "tcp://10.0.0.5:2376"
    )


def test_a_context_has_its_own_certificates_and_other_programs_hear_of_them(home: Path) -> None:
    place = find_docker_endpoint(chosen(home, "far"))
    assert place.certificates.startswith(str(home / ".docker" / "contexts" / "tls"))
    assert place.verify is False
    assert place.variables() == {
        "DOCKER_HOST": "tcp://10.0.0.5:2376", "DOCKER_CONTEXT": "", "DOCKER_CERT_PATH": place.certificates,
        "DOCKER_TLS_VERIFY": "",
    }  # fmt: skip


def test_a_host_with_tls_has_the_certificates_of_the_variables(home: Path) -> None:
    variables = {"HOME": str(home), "DOCKER_HOST": "tcp://a:2376", "DOCKER_TLS_VERIFY": "1"}
    assert find_docker_endpoint(variables).certificates == str(home / ".docker")
    assert find_docker_endpoint({**variables, "DOCKER_CERT_PATH": "/certs"}).certificates == "/certs"
    assert find_docker_endpoint({**variables, "DOCKER_HOST": "unix:///a"}).certificates == ""


@pytest.fixture
def rootless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A socket of a user's own engine, and no engine of the system."""
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("docker.sock")
        monkeypatch.setattr(context, "DEFAULT_URL", f"unix://{tmp_path}/none.sock")
        yield f"unix://{tmp_path}/docker.sock"


def test_a_rootless_engine_is_found_where_the_system_has_none(rootless: str, tmp_path: Path) -> None:
    assert find_docker_endpoint({"XDG_RUNTIME_DIR": str(tmp_path), "HOME": "/nowhere"}).url == rootless
    assert find_docker_endpoint({"XDG_RUNTIME_DIR": "/nowhere", "HOME": "/nowhere"}).url == context.DEFAULT_URL


def test_damaged_configuration_is_none(home: Path) -> None:
    for text in ("", "{", "[]", '{"currentContext": null}', '{"currentContext": "default"}'):
        (home / ".docker" / "config.json").write_text(text)
        assert find_docker_endpoint({"HOME": str(home)}).source == "default"
    assert DEFAULT_URL.startswith("unix://")


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("nosuch", "docker_context_missing", "there is no Docker context 'nosuch', which DOCKER_CONTEXT names"),
        ("away", "docker_context_unsupported", "ssh://ada@far.example, by the Docker context 'away'"),
        ("broken", "docker_context_unreadable", "broken"),
    ],
)
def test_what_cannot_be_reached_is_refused_by_name(home: Path, name: str, code: str, words: str) -> None:
    make_context(home / ".docker", "broken", "")
    meta = home / ".docker" / "contexts" / "meta" / hashlib.sha256(b"broken").hexdigest() / "meta.json"
    meta.write_text("{}")
    with pytest.raises(RagopsError) as refused:
        find_docker_endpoint({"HOME": str(home), "DOCKER_CONTEXT": name})
    assert refused.value.code == code
    assert words in refused.value.message
    assert refused.value.hint


# --- a registry's limit ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "toomanyrequests: You have reached your unauthenticated pull rate limit.",
        "error pulling image configuration: download failed after attempts=1: unknown: Too Many Requests",
        "received unexpected HTTP status: 429 Too Many Requests",
    ],
)
def test_a_limit_of_the_registry_is_told_as_such(said: str) -> None:
    error = _failure("ghcr.io/ada/rag:1", said)
    assert isinstance(error, MissingError)
    assert error.code == "registry_limit"
    assert error.message.startswith("cannot pull ghcr.io/ada/rag:1: ghcr.io refuses, too many requests")
    assert "`docker login ghcr.io`" in error.hint
    assert "wait" in error.hint


@pytest.mark.parametrize(
    ("reference", "registry"),
    [
        ("redis:8", "Docker Hub"), ("qdrant/qdrant:v1", "Docker Hub"), ("docker.io/library/redis", "Docker Hub"),
        ("localhost:5000/a", "localhost:5000"), ("quay.io/a/b", "quay.io"),
    ],
)  # fmt: skip
def test_the_registry_is_the_one_of_the_name(reference: str, registry: str) -> None:
    assert registry_of(reference) == registry


def test_without_an_engine(tmp_path: Path) -> None:
    with pytest.raises(RagopsError) as raised:
        DockerHost(f"unix://{tmp_path}/docker.sock").engine()
    assert raised.value.code == "docker_missing"
    assert raised.value.exit_code == ExitCode.MISSING
    assert "systemctl start docker" in raised.value.hint


def test_the_library_is_imported_when_the_engine_is_asked() -> None:
    script = "import sys, ragops.adapters.docker.client; sys.exit('docker' in sys.modules or 'requests' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
