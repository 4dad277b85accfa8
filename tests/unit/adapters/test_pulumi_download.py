from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from ragops.adapters.pulumi import download as pulumi_download
from ragops.adapters.pulumi import pins
from ragops.adapters.pulumi.install import (
    ENGINE_VERSION,
    Engine,
    Source,
    find,
    install,
    installed_dir,
    read_version,
)
from ragops.errors import ExitCode, IntegrityError, LockedError, MissingError, RagopsError
from tests.folders import make_program
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = (f"pulumi-v{ENGINE_VERSION}-linux-x64.tar.gz", f"pulumi-{ENGINE_VERSION}-checksums.txt")


@pytest.fixture
def cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, without proxies, on the platform that FILES is for."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    return cache


def left_in(cache: Path) -> list[str]:
    """What an install left, its lock file apart."""
    return sorted(str(p.relative_to(cache)) for p in cache.rglob("*") if p.name not in ("pulumi", ".install.lock"))


def archive_of(content: str, name: str = "pulumi/pulumi", extra: str = "pulumi/pulumi-language-python") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in (extra, name):
            info = tarfile.TarInfo(member)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content.encode()))
    return buffer.getvalue()


@dataclass
class Release:
    """A server with one release on it, and what it was asked for."""

    url: str = ""
    archive: bytes = b""
    checksums: str = ""
    asked: list[str] = field(default_factory=list)
    refuse: int = 0
    cut_at: int | None = None
    archive_asked: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event = field(default_factory=threading.Event)

    def publish(self, archive: bytes) -> None:
        self.archive = archive
        self.checksums = f"{'0' * 64}  other.tar.gz\n{hashlib.sha256(archive).hexdigest()}  {FILES[0]}\n"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        name = request.path.removeprefix("/")
        self.asked.append(name)
        known = {FILES[0]: self.archive, FILES[1]: self.checksums.encode()}
        if self.refuse or name not in known:
            self.refuse = max(0, self.refuse - 1)
            request.send_error(503 if name in known else 404)
            return
        body = known[name]
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if name == FILES[0]:
            request.wfile.write(body[:20])
            self.archive_asked.set()
            self.gate.wait(60)
            body = body[20 : self.cut_at]
        request.wfile.write(body)


@pytest.fixture
def release(cache: Path) -> Iterator[Release]:
    served = Release()
    served.publish(archive_of(f"#!/bin/sh\necho v{ENGINE_VERSION}\n"))
    served.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield served
        served.gate.set()
        server.shutdown()
        thread.join(10)


def closed_url() -> str:
    return f"http://127.0.0.1:{free_port()}"


def installer(release: Release) -> subprocess.Popen[str]:
    code = (
        "import sys; from ragops.adapters.pulumi.install import Source, install\n"
        "print(install(Source.DOWNLOAD, lambda line: print(line, flush=True), [sys.argv[1]]).source)"
    )
    args = [sys.executable, "-c", code, release.url]
    return subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def test_the_names_of_a_release(cache: Path) -> None:
    assert pulumi_download.release_files(ENGINE_VERSION, "Linux", "x86_64") == FILES
    assert pulumi_download.release_files("3.1.2", "Darwin", "arm64")[0] == "pulumi-v3.1.2-darwin-arm64.tar.gz"
    with pytest.raises(MissingError, match="FreeBSD riscv64"):
        pulumi_download.release_files("3.1.2", "FreeBSD", "riscv64")


def test_install_puts_the_verified_engine_in_the_cache_once(cache: Path, release: Release) -> None:
    engine = install(urls=[release.url])
    assert engine == find() == Engine(installed_dir() / "bin/pulumi", ENGINE_VERSION, "cache")
    assert read_version(engine.path) == ENGINE_VERSION
    assert left_in(cache) == [f"pulumi/{ENGINE_VERSION}", f"pulumi/{ENGINE_VERSION}/bin"]
    assert install(urls=[release.url]) == engine
    assert release.asked == [FILES[1], FILES[0]]


def test_a_damaged_install_is_replaced(cache: Path, release: Release) -> None:
    make_program(installed_dir() / "bin/pulumi", "v0").chmod(0o644)
    (installed_dir() / "stray").touch()
    assert read_version(install(urls=[release.url]).path) == ENGINE_VERSION
    assert not (installed_dir() / "stray").exists()


def test_a_passing_failure_is_tried_again_and_the_second_address_asked(cache: Path, release: Release) -> None:
    release.refuse = 1
    lines: list[str] = []
    urls = [closed_url(), f"{release.url}/nowhere", release.url]
    assert install(Source.DOWNLOAD, lines.append, urls).source == "cache"
    assert [line for line in lines if "attempt 1 failed" in line]


def test_no_network_says_so_with_the_cure_and_exit_7(cache: Path) -> None:
    with pytest.raises(MissingError) as caught:
        install(urls=[closed_url()])
    assert (caught.value.code, caught.value.exit_code) == ("engine_missing", ExitCode.MISSING)
    assert ("127.0.0.1" in caught.value.message, "--from-source" in caught.value.hint) == (True, True)
    assert left_in(cache) == []


def test_a_release_that_is_not_there_is_not_asked_for_again(cache: Path, release: Release) -> None:
    with pytest.raises(MissingError, match="HTTP 404"):
        install(urls=[f"{release.url}/elsewhere"])
    assert len(release.asked) == 1


def test_an_archive_that_its_own_server_vouches_for_has_to_be_the_pinned_one(
    cache: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Archive and checksums come from one server: both would be replaced together."""
    monkeypatch.setattr(pins, "ENGINE_SHA256", {FILES[0]: "0" * 64})
    with pytest.raises(IntegrityError) as caught:
        install(urls=[release.url])
    assert caught.value.code == "engine_checksum"
    assert "--from-source" in caught.value.hint
    assert find() is None
    monkeypatch.setattr(pins, "ENGINE_SHA256", {FILES[0]: hashlib.sha256(release.archive).hexdigest()})
    assert install(urls=[release.url]).version == ENGINE_VERSION


@pytest.mark.parametrize("checksums", [f"{'0' * 64}  {FILES[0]}\n", "", f"{'0' * 64}  {FILES[0]}.sig\n"])
def test_an_archive_that_is_not_the_published_one_is_refused(cache: Path, release: Release, checksums: str) -> None:
    release.checksums = checksums
    with pytest.raises(IntegrityError) as caught:
        install(urls=[release.url, release.url])
    assert (caught.value.code, caught.value.exit_code) == ("engine_checksum", ExitCode.INTEGRITY)
    assert left_in(cache) == []


@pytest.mark.parametrize(
    ("archive", "code"),
    [
        (archive_of("x", extra="../escaped"), "engine_archive"),
        (archive_of("x", extra="pulumi/../../escaped"), "engine_archive"),
        (archive_of("x", extra="/tmp/escaped"), "engine_archive"),
        (archive_of("x", name="pulumi/other"), "engine_archive"),
        (archive_of("x" * 9000)[:60], "engine_archive"),
        (b"no archive", "engine_archive"),
        (archive_of("#!/bin/sh\necho v3.1.0\n"), "engine_version"),
        (archive_of("no program"), "engine_version"),
    ],
    ids=["above", "above by a way", "absolute", "no engine", "cut", "no archive", "another version", "no program"],
)
def test_what_is_not_the_engine_is_never_installed(
    cache: Path, release: Release, tmp_path: Path, archive: bytes, code: str
) -> None:
    release.publish(archive)
    with pytest.raises(IntegrityError) as caught:
        install(urls=[release.url])
    assert caught.value.code == code
    assert left_in(cache) == []
    assert not list(tmp_path.rglob("escaped"))


def test_a_download_that_breaks_off_leaves_nothing(cache: Path, release: Release) -> None:
    release.cut_at = 40
    with pytest.raises(MissingError):
        install(urls=[release.url])
    assert left_in(cache) == []
    assert release.asked.count(FILES[0]) == 3


def test_ctrl_c_in_a_download_leaves_nothing(cache: Path, release: Release) -> None:
    release.gate.clear()
    with installer(release) as process:
        assert release.archive_asked.wait(30)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) != 0
    assert left_in(cache) == []


def test_what_a_killed_install_left_is_swept_by_the_next(cache: Path, release: Release) -> None:
    release.gate.clear()
    with installer(release) as process:
        assert release.archive_asked.wait(30)
        process.kill()
    assert left_in(cache)
    assert find() is None
    release.gate.set()
    install(urls=[release.url])
    assert left_in(cache) == [f"pulumi/{ENGINE_VERSION}", f"pulumi/{ENGINE_VERSION}/bin"]


def test_two_installs_wait_for_each_other(cache: Path, release: Release) -> None:
    release.gate.clear()
    with installer(release) as first:
        assert release.archive_asked.wait(30)
        with installer(release) as second:
            assert second.stdout is not None
            assert "waiting" in second.stdout.readline()
            release.gate.set()
            assert (first.wait(30), second.wait(30)) == (0, 0)
    assert release.asked.count(FILES[0]) == 1


def test_a_lock_that_is_never_released_ends_the_wait(
    cache: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragops.adapters.pulumi.install._LOCK_SECONDS", 0.1)
    release.gate.clear()
    with installer(release) as process:
        assert release.archive_asked.wait(30)
        with pytest.raises(LockedError) as caught:
            install(urls=[release.url])
        process.kill()
    assert caught.value.code == "engine_install_locked"


def test_too_little_disk_is_said_before_anything_is_asked_for(
    cache: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulumi_download, "_FREE_BYTES", 1 << 60)
    with pytest.raises(MissingError) as caught:
        install(urls=[release.url])
    assert (caught.value.code, release.asked) == ("disk_space", [])
    assert "RAGOPS_CACHE_DIR" in caught.value.hint
    assert left_in(cache) == []


def test_a_cache_that_cannot_be_written_names_the_variable(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RAGOPS_CACHE_DIR", os.fspath(tmp_path / "file"))
    with pytest.raises(RagopsError) as caught:
        install(urls=[])
    assert caught.value.code == "engine_install_failed"
    assert "RAGOPS_CACHE_DIR" in caught.value.hint
