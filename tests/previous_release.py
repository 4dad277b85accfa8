"""An installation of ragops that is upgraded in place: first the previous release, then this one, on one platform."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import venv
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis

from ragops.services.timescaledb import OWNER_ROLE, OWNER_SECRET

# The last commit before modules moved: states that it wrote name providers by their old module paths.
PREVIOUS = "b398e66"
CHECKOUT = Path(__file__).parents[1]
_POINT = {"id": 7, "vector": [0.1, 0.2, 0.3, 0.4], "payload": {"kept": "yes"}}


class Installation:
    """A virtual environment whose `ragops` is a source tree; `use` replaces it, as an upgrade of the package does."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._python = folder / "venv" / "bin" / "python"
        self._environment = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
        venv.create(folder / "venv", symlinks=True)
        (self._site,) = (folder / "venv" / "lib").glob("python*/site-packages")

    def use(self, tree: Path) -> None:
        """Have `ragops` come from `tree`, its dependencies from the environment of these tests."""
        installed = [path for path in sys.path if path.endswith("-packages")]
        (self._site / "ragops-tree.pth").write_text("".join(f"{path}\n" for path in (tree, *installed)))

    def run(self, *arguments: str, cwd: Path, code: int | None = 0, timeout: float = 300) -> Any:
        """Run one command of ragops; it has to end with `code` unless that is None."""
        done = subprocess.run(
            [self._python, "-m", "ragops", *arguments], cwd=cwd, env=self._environment, timeout=timeout,
            stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip
        assert code is None or done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


def extract_previous(target: Path) -> Path:
    """Write the tree of the previous release into `target`; skips if this checkout has no history with it."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", PREVIOUS, "ragops", "ragops_launcher", "stacks", "templates", "images",
         "docs", "pyproject.toml", "README.md", "LICENSE"],
        cwd=CHECKOUT, capture_output=True, check=False,
    )  # fmt: skip
    if archive.returncode != 0:
        pytest.skip(f"the upgrade from {PREVIOUS} was not tried: this checkout has no such commit (a shallow clone?)")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(target, filter="data")
    return target


class Stores:
    """One datum in each store of a platform that is up; `outputs` are those of `ragops outputs`."""

    def __init__(self, root: Path, outputs: dict[str, str]) -> None:
        self._outputs = outputs
        self._owner = json.loads((root / ".ragops" / "secrets" / "default.json").read_text())[OWNER_SECRET]

    def write(self) -> None:
        """Write them."""
        with self._redis() as cache:
            cache.set("kept", "yes")
        with self._database() as database:
            database.execute("CREATE TABLE kept AS SELECT 'yes' AS value")
        with self._qdrant() as vectors:
            body = {"vectors": {"size": 4, "distance": "Dot"}}
            vectors.put("/collections/kept", json=body).raise_for_status()
            vectors.put("/collections/kept/points?wait=true", json={"points": [_POINT]}).raise_for_status()

    def read(self) -> tuple[Any, ...]:
        """Return what the stores have of them now."""
        with self._redis() as cache, self._database() as database, self._qdrant() as vectors:
            row = database.execute("SELECT value FROM kept").fetchone()
            point = vectors.get("/collections/kept/points/7").raise_for_status().json()["result"]["payload"]
            return cache.get("kept"), row, point

    def _redis(self) -> redis.Redis:
        return redis.Redis.from_url(self._outputs["REDIS_URL"], decode_responses=True, socket_timeout=20)

    def _database(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self._outputs["TIMESCALEDB_URL"], user=OWNER_ROLE, password=self._owner, autocommit=True, connect_timeout=20
        )

    def _qdrant(self) -> httpx.Client:
        headers = {"api-key": self._outputs["QDRANT_API_KEY"]}
        return httpx.Client(base_url=self._outputs["QDRANT_URL"], headers=headers, timeout=30, trust_env=False)


WRITTEN = ("yes", ("yes",), {"kept": "yes"})
