"""The Docker daemon restarted, and killed: containers come back by themselves, with their data.

The machine's own daemon has others' containers, so this starts one of its own, as root: with its own folders and
copies of the images, and in a network namespace of its own, where these tests are run once more. A second daemon
beside the first would take its bridge and its firewall rules.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.docker.client import DockerHost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.engine, pytest.mark.fault]

ASKED = "TEST_RESTART_DOCKERD"  # 1: whoever runs the tests says so; inside: in the namespace
_START_SECONDS = 60


@pytest.mark.skipif(os.environ.get(ASKED) != "1", reason=f"starts a Docker daemon of its own: {ASKED}=1, as root")
def test_a_daemon_of_its_own_in_a_network_of_its_own(needed: DockerHost) -> None:
    """Runs the tests below."""
    inner = f"ip link set lo up && exec {sys.executable} -m pytest -p no:cacheprovider {__file__}"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", inner], env={**os.environ, ASKED: "inside"}, timeout=1100,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "2 passed, 1 skipped" in done.stdout


@dataclass
class Daemon:
    """A Docker daemon in a folder of its own."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    "dockerd", "-H", self.url, "--data-root", str(self.folder / "data"),
                    "--exec-root", str(self.folder / "exec"), "--pidfile", str(self.folder / "pid"),
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
        self.process.wait(90)

    def take_images(self, references: tuple[str, ...]) -> None:
        """Copies of the machine's images."""
        saved = subprocess.Popen(["docker", "save", *references], stdout=subprocess.PIPE)
        subprocess.run(["docker", "-H", self.url, "load", "-q"], stdin=saved.stdout, check=True, capture_output=True)
        assert saved.wait() == 0

    def said(self) -> str:
        """The end of its log, without what it says always."""
        lines = (self.folder / "log").read_text().splitlines()
        return "\n".join([line for line in lines if "level=info" not in line][-20:])


@pytest.fixture(scope="module")
def daemon(needed: DockerHost, images: tuple[str, ...]) -> Iterator[Daemon]:
    folder = Path(tempfile.mkdtemp(prefix="ragopsd-"))
    daemon = Daemon(folder)
    try:
        daemon.start()
        daemon.take_images(images)
        yield daemon
    finally:
        if daemon.process and daemon.process.poll() is None:
            daemon.end(signal.SIGTERM)
        for mount in _mounts(folder):
            subprocess.run(["umount", "-l", mount], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _mounts(folder: Path) -> list[str]:
    lines = (line.split()[1] for line in Path("/proc/mounts").read_text().splitlines())
    return sorted((mount for mount in lines if mount.startswith(str(folder))), reverse=True)


@pytest.fixture(scope="module")
def elsewhere(daemon: Daemon, ragops: Any, module_workspace: Path, make_whole: Any) -> Iterator[Any]:
    """A platform on that daemon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", daemon.url)
        made = make_whole(module_workspace / "project", DockerHost(), ragops)
        try:
            made.up()
            made.fill()
            yield made
        finally:
            with contextlib.suppress(Exception):
                made.remove()


@pytest.mark.skipif(os.environ.get(ASKED) != "inside", reason="run by the test above, in a namespace")
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
    wait_for(
        lambda: set(elsewhere.states().values()) == {"running"}, 120, lambda: f"{elsewhere.states()}\n{daemon.said()}"
    )
    wait_for(lambda: elsewhere.run("--json", "health", code=None).code == 0, 180, lambda: elsewhere.run("health"))
    assert elsewhere.contents() == before
    assert elsewhere.answers(token) == answers
    assert elsewhere.drift() == {}
    assert elsewhere.up() == {}
    elsewhere.assert_nothing_but_the_platform()
