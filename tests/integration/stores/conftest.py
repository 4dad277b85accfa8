"""Servers to keep repositories on: rclone as S3 and as SFTP, on loopback, in a scratch folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ragops.adapters.storage.folder import FolderStore
from ragops.adapters.storage.objects import ObjectStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ragops.adapters.storage import Store

BUCKET, ACCESS, SECRET, PASSWORD = "backups", "AKIAragops", "a-secret-of-the-bucket", "a-password-of-the-server"
_RCLONE = Path(sys.executable).with_name("rclone")


@dataclass
class Server:
    """One rclone, which can be killed and started again on its port."""

    kind: str
    home: Path
    port: int
    wait: Callable[..., None]
    process: subprocess.Popen[bytes] | None = None
    arguments: list[str] = field(default_factory=list)

    @property
    def data(self) -> Path:
        """What it serves."""
        return self.home / "data"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        (self.data / BUCKET).mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "RCLONE_CONFIG": str(self.home / "none.conf"),
        }  # fmt: skip
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [_RCLONE, "serve", self.kind, "--addr", f"127.0.0.1:{self.port}",
                 *self.arguments, str(self.data)],
                env=environment, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.wait(self._listens, 60, f"{self.kind} on {self.port}")

    def kill(self) -> None:
        """Take it away at once."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@dataclass
class Place:
    """A store of its own for one test, and ways to have others of the same place."""

    kind: str
    url: str
    options: dict[str, Any]
    server: Server | None = None

    def open(self, **changes: Any) -> Store:
        """A store that shares nothing with another one but the place."""
        if self.kind == "folder":
            return FolderStore(Path(self.url))
        return ObjectStore(self.url, {**self.options, **changes})


@pytest.fixture(scope="module")
def s3_server(
    module_workspace: Path, free_port: Callable[[], int], wait_until: Callable[..., None]
) -> Iterator[Server]:
    """S3 with one bucket."""
    home = module_workspace / "s3"
    home.mkdir()
    server = Server("s3", home, free_port(), wait_until, arguments=["--auth-key", f"{ACCESS},{SECRET}"])
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def sftp_server(
    module_workspace: Path, free_port: Callable[[], int], wait_until: Callable[..., None]
) -> Iterator[Server]:
    """SFTP with a host key and a user's key of its own; known_hosts and the key lie in its home."""
    home = module_workspace / "sftp"
    home.mkdir()
    server = Server("sftp", home, free_port(), wait_until)
    for name in ("host", "user"):
        _make_key(home / name)
    host = (home / "host.pub").read_text()
    (home / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {host}")
    shutil.copy(home / "user.pub", home / "authorized_keys")
    server.arguments = [
        "--key", str(home / "host"), "--authorized-keys", str(home / "authorized_keys"),
        "--user", "ragops", "--pass", PASSWORD,
    ]  # fmt: skip
    server.start()
    yield server
    server.kill()


def _make_key(path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    )
    path.chmod(0o600)
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    path.with_suffix(".pub").write_bytes(public + b"\n")


def s3_place(server: Server) -> Place:
    """A folder of the bucket."""
    options = {"key": ACCESS, "secret": SECRET, "endpoint_url": f"http://127.0.0.1:{server.port}"}
    return Place("s3", f"s3://{BUCKET}/{uuid.uuid4().hex}", options, server)


def sftp_place(server: Server) -> Place:
    """A folder of the server."""
    options = {
        "key_filename": str(server.home / "user"), "known_hosts": str(server.home / "known_hosts"),
        "allow_agent": False, "look_for_keys": False,
    }  # fmt: skip
    return Place("sftp", f"sftp://ragops@127.0.0.1:{server.port}/{uuid.uuid4().hex}", options, server)


@pytest.fixture
def s3(s3_server: Server) -> Place:
    """A place on S3."""
    return s3_place(s3_server)


@pytest.fixture
def sftp(sftp_server: Server) -> Place:
    """A place on SFTP."""
    return sftp_place(sftp_server)


@pytest.fixture(params=["folder", "memory", "s3", "sftp"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each kind in turn."""
    kind = request.param
    if kind == "folder":
        return Place(kind, str(tmp_path / "repository"), {})
    if kind == "memory":
        return Place(kind, f"memory://{uuid.uuid4().hex}", {})
    return s3_place(request.getfixturevalue("s3_server")) if kind == "s3" else sftp_place(
        request.getfixturevalue("sftp_server")
    )  # fmt: skip
