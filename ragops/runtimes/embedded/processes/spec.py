"""A service as a host process: everything that starting it needs, as plain values that Pulumi can carry."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragops.runtimes.embedded.processes.state import CONFIG, HOT
from ragops.services.spec import ConfigFile, HealthCheck, InitStep

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class ProcessSpec:
    """One detached process. `run_dir` holds configuration, record and log; `data_dir` its data; times in seconds.

    `hot` are files that it takes over while it runs: their change restarts nothing.
    `user` is whom the process runs as, empty for the caller; `lock_files` are what the engine leaves in `data_dir`
    when it is killed and would trip over after a reboot.
    """

    service: str
    version: str
    command: tuple[str, ...]
    files: tuple[ConfigFile, ...]
    environment: dict[str, str]
    ports: dict[str, int]
    health: HealthCheck
    run_dir: str
    data_dir: str
    user: str = ""
    init: InitStep | None = None
    lock_files: tuple[str, ...] = ()
    stop_signal: str = "SIGTERM"
    stop_grace: float = 10.0
    start_timeout: float = 60.0
    hot: tuple[ConfigFile, ...] = ()
    guard: str = ""

    @property
    def config_dir(self) -> Path:
        """The folder of the rendered files."""
        return Path(self.run_dir) / CONFIG

    @property
    def hot_dir(self) -> Path:
        """The folder of the files that change while it runs."""
        return Path(self.run_dir) / HOT

    def file_digests(self) -> dict[str, str]:
        """Return the SHA-256 of every rendered file, by its name or as `hot/NAME`."""
        return {**_digests(self.files), **self.hot_digests()}

    def hot_digests(self) -> dict[str, str]:
        """Return the same of the hot files alone."""
        return {f"{HOT}/{name}": digest for name, digest in _digests(self.hot).items()}

    def digest(self) -> str:
        """Return the SHA-256 of all that makes a restart necessary when it changes."""
        values = {
            "version": self.version,
            "command": self.command,
            "files": _digests(self.files),
            "environment": self.environment,
            "ports": self.ports,
            "data_dir": self.data_dir,
            "user": self.user,
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def to_props(self) -> dict[str, Any]:
        """Return the JSON values that `from_props` reads, contents of secret files apart from the others.

        Apart because the engine hides a whole list as soon as one of its items is secret.
        """
        return {
            **asdict(self),
            "files": {file.name: file.content for file in self.files if not file.secret},
            "secret_files": {file.name: file.content for file in self.files if file.secret},
            "hot": {file.name: file.content for file in self.hot},
        }

    @classmethod
    def from_props(cls, props: Mapping[str, Any]) -> ProcessSpec:
        """Return the process of `to_props`'s values, numbers as Pulumi returns them (floats) included.

        Raises ValueError or KeyError for other values.
        """
        from pydantic import TypeAdapter

        files = [*(ConfigFile(*item) for item in props["files"].items()), *_secret(props["secret_files"])]
        values = {**props, "files": files, "hot": _secret(props.get("hot", {}))}
        return TypeAdapter(cls).validate_python(values)


def _secret(contents: Mapping[str, str]) -> list[ConfigFile]:
    return [ConfigFile(name, content, secret=True) for name, content in contents.items()]


def _digests(files: Iterable[ConfigFile]) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.content.encode()).hexdigest() for file in files}
