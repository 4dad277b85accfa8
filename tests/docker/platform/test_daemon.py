"""The Docker daemon restarted, and killed: containers come back by themselves, with their data.

On a daemon of the test's own, as root: the machine's has others' containers. It has its own folders, socket, bridge
and copies of the images. RAGOPS_TEST_RESTART_DOCKERD=1 says that this test may start one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.docker_client import DockerHost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.engine, pytest.mark.fault]

ALLOWED = "RAGOPS_TEST_RESTART_DOCKERD"
_START_SECONDS = 60
# It writes no firewall rules, which would be the other daemon's too; what that one drops is let through for this pool.
_POOL = "10.213.0.0/16"
_PASSAGE = ("FORWARD", "-s", _POOL, "-d", _POOL, "-j", "ACCEPT")


@dataclass
class Daemon:
    """A Docker daemon in a folder of its own."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    bridge: str = "ragopst0"
    logs: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    "dockerd", "-H", self.url, "--data-root", str(self.folder / "data"),
                    "--exec-root", str(self.folder / "exec"), "--pidfile", str(self.folder / "pid"),
                    "--bridge", self.bridge, "--iptables=false", "--ip-masq=false",
                    "--default-address-pool", f"base={_POOL},size=24",
                ],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while subprocess.run(["docker", "-H", self.url, "info"], capture_output=True, check=False).returncode:
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the daemon does not answer"
            time.sleep(0.2)

    def end(self, how: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(how)
        self.process.wait(60)

    def take_images(self, references: tuple[str, ...]) -> None:
        """Copies of the machine's images."""
        saved = subprocess.Popen(["docker", "save", *references], stdout=subprocess.PIPE)
        subprocess.run(["docker", "-H", self.url, "load", "-q"], stdin=saved.stdout, check=True, capture_output=True)
        assert saved.wait() == 0


@pytest.fixture(scope="module")
def daemon(needed: DockerHost, images: tuple[str, ...]) -> Iterator[Daemon]:
    if os.environ.get(ALLOWED) != "1" or os.geteuid():
        pytest.skip(f"starts a Docker daemon of its own: as root, with {ALLOWED}=1")
    folder = Path(tempfile.mkdtemp(prefix="ragopsd-"))
    daemon = Daemon(folder)
    subprocess.run(["ip", "link", "add", daemon.bridge, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "addr", "add", "10.212.0.1/24", "dev", daemon.bridge], check=True)
        subprocess.run(["ip", "link", "set", daemon.bridge, "up"], check=True)
        subprocess.run(["iptables", "-I", *_PASSAGE], check=True)
        daemon.start()
        daemon.take_images(images)
        yield daemon
    finally:
        if daemon.process and daemon.process.poll() is None:
            daemon.end(signal.SIGTERM)
        subprocess.run(["iptables", "-D", *_PASSAGE], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", daemon.bridge], check=False)
        for mount in _mounts(folder):
            subprocess.run(["umount", "-l", mount], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _mounts(folder: Path) -> list[str]:
    lines = (line.split()[1] for line in Path("/proc/mounts").read_text().splitlines())
    return sorted((mount for mount in lines if mount.startswith(str(folder))), reverse=True)


@pytest.fixture(scope="module")
def elsewhere(daemon: Daemon, ragops: Any, module_workspace: Path, make_whole: Any) -> Iterator[Any]:
    """A platform on that daemon."""
    before = os.environ.get("DOCKER_HOST")
    os.environ["DOCKER_HOST"] = daemon.url
    made = make_whole(module_workspace / "project", DockerHost(), ragops)
    try:
        made.up()
        made.fill()
        yield made
    finally:
        with contextlib.suppress(Exception):
            made.remove()
        os.environ.pop("DOCKER_HOST")
        if before is not None:
            os.environ["DOCKER_HOST"] = before


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_all_comes_back_when_the_daemon_does(
    elsewhere: Any, daemon: Daemon, how: signal.Signals, wait_for: Callable[..., None]
) -> None:
    """Without any command of ragops: restart policies do it."""
    token = elsewhere.token()
    before, answers = elsewhere.contents(), elsewhere.answers(token)
    daemon.end(how)
    refused = elsewhere.run("--json", "status", code=None)
    assert refused.code == 7, refused.out + refused.err
    daemon.start()
    wait_for(lambda: set(elsewhere.states().values()) == {"running"}, 120, elsewhere.states)
    wait_for(lambda: elsewhere.run("--json", "health", code=None).code == 0, 180, "health")
    assert elsewhere.contents() == before
    assert elsewhere.answers(token) == answers
    assert elsewhere.drift() == {}
    assert elsewhere.up() == {}
    elsewhere.assert_nothing_but_the_platform()
