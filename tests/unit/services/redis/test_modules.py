"""Which modules of a live server would be missing at a restore."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from ragops.services.redis.modules import FOLDER, WITH_MODULES, by_hand

if TYPE_CHECKING:
    from pathlib import Path


def test_only_what_is_of_no_image_was_loaded_by_hand() -> None:
    loaded = [
        {"name": "lua", "path": "lua"},
        {b"name": b"vectorset", b"path": b""},
        {"name": "ReJSON", "path": f"{FOLDER}/rejson.so"},
        ["name", "mine", "path", "/data/mine.so", "args", []],
    ]
    assert by_hand(loaded) == ["mine"]


def test_every_module_of_the_image_is_loaded_and_none_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    server = tmp_path / "bin" / "redis-server"
    server.write_text('#!/bin/sh\necho "$@"\n')
    server.chmod(0o755)
    modules = tmp_path / "modules"

    def started() -> str:
        script = WITH_MODULES.replace(FOLDER, str(modules))
        command = ["/bin/sh", "-c", script, "redis", "/etc/redis.conf"]
        environment = {"PATH": f"{server.parent}:/usr/bin:/bin"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=True).stdout

    assert started() == "/etc/redis.conf\n"
    modules.mkdir()
    for name in ("a.so", "b.so"):
        (modules / name).touch()
    assert started() == f"/etc/redis.conf --loadmodule {modules}/a.so --loadmodule {modules}/b.so\n"
