"""`ragops` as its users run it: a process of its own, in an environment without settings of whoever runs the tests."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from ragops.config.secrets import load as load_secrets

# Where the engine is must still be told to ragops where the machine has it in a place of its own.
KEPT = ("RAGOPS_PULUMI", "RAGOPS_CACHE_DIR")
SERVER = Path(__file__).with_name("fork_server.py")
# What Python reads once, when it starts: a fork comes too late for it.
_OF_PYTHON = ("PYTHON", "LANG", "LC_", "COVERAGE")


@dataclass(frozen=True)
class Result:
    """What one command answered."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Stdout as exactly one JSON document."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The error document of a command with `--json`."""
        return self.json()["error"]


class Cli:
    """Runs command lines: forks of one process (tests/fork_server.py), or `python -m ragops` where that is asked."""

    def __init__(self) -> None:
        self._forks: Forks | None = None
        self._lock = threading.Lock()

    def __call__(
        self, *arguments: str, cwd: Path, env: dict[str, str | None] | None = None, timeout: float = 240
    ) -> Result:
        """Run one command to its end; a variable of `env` that is None is taken out."""
        if any(name.startswith(_OF_PYTHON) for name in env or {}) or not self._lock.acquire(blocking=False):
            return self.spawn(*arguments, cwd=cwd, env=env, timeout=timeout)
        try:
            if self._forks is None:
                self._forks = Forks()
            return self._forks.run(arguments, Path(cwd), self.environment(env), timeout)
        finally:
            self._lock.release()

    def spawn(
        self, *arguments: str, cwd: Path, env: dict[str, str | None] | None = None, timeout: float = 240
    ) -> Result:
        """The same as a Python of its own, started from nothing."""
        done = subprocess.run(
            self.command(*arguments), cwd=cwd, env=self.environment(env), timeout=timeout,
            stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, cwd: Path, env: dict[str, str | None] | None = None) -> subprocess.Popen[str]:
        """Start one command in a process group of its own and leave it to the caller."""
        return subprocess.Popen(
            self.command(*arguments), cwd=cwd, env=self.environment(env), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        )  # fmt: skip

    def close(self) -> None:
        """End the process that forks."""
        if self._forks is not None:
            self._forks.close()

    @staticmethod
    def command(*arguments: str) -> list[str]:
        """The command line of this very Python."""
        return [sys.executable, "-m", "ragops", *arguments]

    @staticmethod
    def environment(changes: dict[str, str | None] | None = None) -> dict[str, str]:
        """The environment of a command."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in KEPT or not name.startswith(("RAGOPS_", "PULUMI_"))
        }
        return {name: value for name, value in {**kept, **(changes or {})}.items() if value is not None}


@dataclass(frozen=True)
class Project:
    """The folder of a project, and commands in it."""

    root: Path
    ragops: Any

    @property
    def settings(self) -> dict[str, Any]:
        """What ragops.yaml holds."""
        found: dict[str, Any] = yaml.safe_load((self.root / "ragops.yaml").read_text())
        return found

    @property
    def secrets(self) -> dict[str, str]:
        """The generated secrets of the default environment, by name."""
        return load_secrets(self.root / ".ragops" / "secrets" / "default.json")

    def run(self, *arguments: str, code: int = 0, cwd: Path | None = None, **more: Any) -> Any:
        """A command that has to end with `code`."""
        done = self.ragops(*arguments, cwd=cwd or self.root, timeout=280, **more)
        assert done.code == code, f"{arguments}: {done.code}\n{done.out}\n{done.err}"
        return done

    def pids(self) -> dict[str, int]:
        """The process of each service that runs."""
        rows = self.run("status", "--json").json()["services"]
        return {item["service"]: int(item["ident"]) for item in rows if item["ident"]}


class Forks:
    """The process that forks; one command line at a time."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ragops-forks-")
        self._numbers = count()
        self._answered = b""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAGOPS_")}
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=self._folder.name,
            env=environment, encoding="utf-8",
        )  # fmt: skip

    def run(self, arguments: tuple[str, ...], cwd: Path, env: dict[str, str], timeout: float) -> Result:
        """Run one command line to its end; raises TimeoutExpired as `subprocess.run` does."""
        number = next(self._numbers)
        out, err = (Path(self._folder.name, f"{number}.{name}") for name in ("out", "err"))
        request = {"arguments": arguments, "cwd": str(cwd), "env": env, "out": str(out), "err": str(err)}
        assert self._process.stdin
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        pid = self._answer(120)
        try:
            code = self._answer(timeout)
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self._answer(60)
            raise subprocess.TimeoutExpired(["ragops", *arguments], timeout, out.read_text(), err.read_text()) from None
        done = Result(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))
        out.unlink()
        err.unlink()
        return done

    def _answer(self, seconds: float) -> int:
        """The next number, past the buffer of the stream, of which `select` would not know."""
        assert self._process.stdout
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._answered:
            if not select.select([descriptor], [], [], seconds)[0]:
                raise TimeoutError
            block = os.read(descriptor, 100)
            assert block, "the process that forks has ended"
            self._answered += block
        line, _, self._answered = self._answered.partition(b"\n")
        return int(line)

    def close(self) -> None:
        """Wait for its end."""
        self._process.communicate(timeout=30)
        self._folder.cleanup()
