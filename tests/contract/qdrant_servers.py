"""The servers of the contract suites of Qdrant: the development engine and a real one.

The real one is the one that RAGOPS_TEST_QDRANT_URL (and RAGOPS_TEST_QDRANT_API_KEY) name, else the binary that
RAGOPS_TEST_QDRANT names, else the pinned image where Docker has it; the last two as a cluster of one node. Every
collection that a suite makes has a name of its own and is deleted again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests import qdrant_processes
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "the key of the contract suite"
REAL_URL = os.environ.get("RAGOPS_TEST_QDRANT_URL", "")
REAL_KEY = os.environ.get("RAGOPS_TEST_QDRANT_API_KEY", "")


@dataclass(frozen=True)
class Server:
    url: str
    key: str
    development: bool
    grpc_url: str = ""


BINARY = os.environ.get(qdrant_processes.BINARY, "")
SERVER = pytest.param("server", marks=() if REAL_URL or BINARY else pytest.mark.docker)


def development_engine() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="ragops-test-"))
    port = free_port()
    (folder / "key").write_text(KEY)
    config = {"host": "127.0.0.1", "port": port, "storage": str(folder / "data"), "api_key_file": str(folder / "key")}
    (folder / "edge.json").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "ragops.devserver.qdrant", str(folder / "edge.json")]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_ready(url, lambda: process.poll() is None, (folder / "log").read_text)
        yield Server(url, KEY, development=True)
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)


def named_binary() -> Iterator[Server]:
    with qdrant_processes.cluster() as made:
        yield Server(made.url(), qdrant_processes.KEY, development=False, grpc_url=made.grpc_url())


def pinned_image() -> Iterator[Server]:
    with qdrant_processes.container() as made:
        yield Server(made.url(), qdrant_processes.KEY, development=False)


def wait_ready(url: str, running: Callable[[], bool], log: Callable[[], str]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if httpx.get(f"{url}/readyz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert running(), log()
        assert time.monotonic() < deadline, log()
        time.sleep(0.05)


def error_of(response: httpx.Response) -> str:
    body = response.json()
    assert set(body) >= {"status", "time"}
    assert isinstance(body["time"], float)
    return body["status"]["error"]


def upload(raw: httpx.Client, collection: str, content: bytes, **query: str) -> httpx.Response:
    return raw.post(
        f"/collections/{collection}/shards/0/snapshots/upload",
        params={"priority": "snapshot", "wait": "true", **query},
        files={"snapshot": ("x.snapshot", content)},
    )
